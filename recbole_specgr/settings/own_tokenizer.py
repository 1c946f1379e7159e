"""The settings of a user's own tokenizer, which no property file declares: its class does."""

from dataclasses import MISSING, fields
from typing import Any

from recbole_specgr.settings.layer_files import merged
from recbole_specgr.settings.named_classes import TOKENIZER, is_ours, tokenizer_class
from recbole_specgr.settings.precedence import Layer

SHARED = ("levels", "codebook_size")  # by all tokenizers: they stand beside the groups of the methods


def own_tokenizer_settings(layers: list[Layer]) -> list[Layer]:
    """The layer that declares the group `tokenizer.NAME` where `tokenizer.method` names a user's own; else none.

    It is to lie below all others.

    Raises:
        UserError: there is no such tokenizer.
    """
    group: Any = merged(layers).get("tokenizer")
    method = group.get("method") if isinstance(group, dict) else None
    if method is None or is_ours(TOKENIZER, str(method)):
        return []
    own = tokenizer_class(str(method))
    defaults = {
        field.name: None if field.default is MISSING else field.default
        for field in fields(own)
        if field.name not in SHARED
    }
    return [Layer(f"the class {own.__name__}", {"tokenizer": {own.method: defaults}}, declares=True)]
