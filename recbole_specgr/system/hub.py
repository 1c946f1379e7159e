"""The Hugging Face hub: whether it is there, asked quickly, and models from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recbole_specgr.system.errors import UserError


def reach_hub(seconds: float = 10) -> str:
    """The hub's address. Raises whatever the client raises when it can't be reached in time, or may not be asked.

    The client itself tries for a minute before it gives up.
    """
    from huggingface_hub import constants, get_session

    get_session().head(constants.ENDPOINT, timeout=seconds)
    return constants.ENDPOINT


def from_hub(kind: type, name: str, setting: str, **arguments: Any) -> Any:
    """`kind.from_pretrained(name)`; the hub is asked only where the model is not local.

    Args:
        kind: a class of transformers.
        name: the hub's name of a model, or the path of a local one.
        setting: what named it, for messages.

    Raises:
        UserError: it is nowhere, or can't be loaded.
    """
    try:
        return kind.from_pretrained(name, local_files_only=True, **arguments)  # type: ignore[attr-defined]
    except (OSError, ValueError) as error:
        if Path(name).is_dir():
            raise UserError(f"[{setting}: {name}] can't be loaded: {error}") from error
    try:
        reach_hub()
        return kind.from_pretrained(name, **arguments)  # type: ignore[attr-defined]
    except Exception as error:  # many types, of several libraries
        raise UserError(
            f"[{setting}: {name}] is no local model, none that was fetched before, and could not be fetched "
            f"({type(error).__name__}: {error}). Give the folder of a downloaded one, or leave the setting empty to "
            f"train a small one."
        ) from error
