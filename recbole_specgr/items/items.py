"""What a data set's items are, made once and handed to whoever needs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole_specgr.semantic_ids.codes import SemanticIds

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, eq=False)
class Items:
    """What models are handed of the items; what nobody needs is None.

    Attributes:
        text_vectors: float32 [n_items, d], row 0 zeros.
        semantic_ids: ids of all items.
        attributes: field -> the text of every item in it, row 0 "".
        attribute_tokenizer: turns these texts into tokens of a language model.
    """

    text_vectors: np.ndarray | None = None
    semantic_ids: SemanticIds | None = None
    attributes: dict[str, list[str]] | None = None
    attribute_tokenizer: Tokenizer | None = None

    def chosen(self, names: Iterable[str]) -> dict[str, Any]:
        """Some of the attributes by name."""
        return {name: vars(self)[name] for name in names}
