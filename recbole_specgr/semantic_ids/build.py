"""A tokenizer from its settings, or from the file that keeps a fitted one."""

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from recbole_specgr.semantic_ids.tokenizers.contract import Tokenizer
from recbole_specgr.settings.named_classes import tokenizer_class
from recbole_specgr.system.errors import UserError


def build_tokenizer(group: Mapping) -> Tokenizer:
    """The tokenizer that the settings group `tokenizer:` describes.

    `method` names it; the keys of its own group, named like the method, and the shared ones beside it are its settings.
    A tokenizer that derives from another takes the settings of the other's group, too, its own over them.

    Raises:
        UserError: there is no such method, or it has no such setting.
    """
    cls = tokenizer_class(str(group["method"]))
    known = {field.name for field in fields(cls)}
    own: dict[str, Any] = {}
    for method in cls.groups():
        settings = dict(group.get(method) or {})
        unknown = sorted(set(settings) - known)
        if unknown:
            raise UserError(
                f"tokenizer.{method} has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}."
            )
        own |= settings
    shared = {key: value for key, value in group.items() if key in ("levels", "codebook_size")}
    return cls(**{**shared, **own})


def load_tokenizer(path: str | os.PathLike) -> Tokenizer:
    """Read a fitted tokenizer from a file that `Tokenizer.save` wrote, or codebooks made elsewhere.

    The latter are an .npz without `method`, of an array `codebooks` [levels, codebook_size, width] of residual (or
    product) quantisation and, where that is not done on the features themselves, `mean` [d] and `projection`
    [d, width] (docs/semantic_ids.md).

    Raises:
        UserError: there is no such file, or it is no tokenizer or is cut short.
    """
    if not Path(path).is_file():
        raise UserError(f"There is no tokenizer at {path}.")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "method" not in arrays and "codebooks" in arrays:
                tokenizer = tokenizer_class("rqkmeans")(*arrays["codebooks"].shape[:2])
                tokenizer.load_state(arrays)
                return tokenizer
            tokenizer = tokenizer_class(str(arrays["method"]))(**json.loads(str(arrays["settings"])))
            tokenizer.load_state(arrays)
    except Exception as error:  # a cut zip archive fails with many types
        raise UserError(f"{path} holds no tokenizer ({type(error).__name__}: {error}).") from error
    return tokenizer
