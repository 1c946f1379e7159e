"""What a data set's items are, made once and handed to whoever needs it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recbole_specgr.semantic_ids.codes import SemanticIds


@dataclass(frozen=True, eq=False)
class Items:
    """What models are handed of the items; what nobody needs is None.

    Attributes:
        text_vectors: float32 [n_items, d], row 0 zeros.
        semantic_ids: ids of all items.
        attributes: field -> the text of every item in it, row 0 "".
    """

    text_vectors: np.ndarray | None = None
    semantic_ids: SemanticIds | None = None
    attributes: dict[str, list[str]] | None = None
