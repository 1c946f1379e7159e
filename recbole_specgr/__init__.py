"""Inductive generative recommendation on RecBole: SpecGR++, TIGER and any RecBole sequential model, one protocol."""

import importlib

from recbole_specgr.system.compat import alias_numpy

__version__ = "0.1.0"

alias_numpy()  # before anything of RecBole is used

_LAZY = {
    "Config": "recbole_specgr.settings.config",
    "UserError": "recbole_specgr.system.errors",
    "get_model": "recbole_specgr.settings.registry",
    "list_models": "recbole_specgr.settings.registry",
    "load_data_and_model": "recbole_specgr.quick_start",
    "run_recbole": "recbole_specgr.quick_start",
}

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str):
    """Import the public names on first use (PEP 562), so that `import recbole_specgr` stays light."""
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
