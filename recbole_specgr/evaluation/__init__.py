"""Ranked lists -> overall / in-sample / unseen metrics, and how sure their differences are."""

import importlib
from typing import Any

_LAZY = {
    "Evaluator": "evaluator",
    "RankCollector": "collector",
    "check_ranked": "ranking",
    "check_topk": "ranking",
    "rank_scores": "ranking",
}

__all__ = sorted(_LAZY)


def __getattr__(name: str) -> Any:
    """Import the public names on first use: tables need `significance` and the metrics, which need no torch."""
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
