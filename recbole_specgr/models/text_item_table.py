"""What models keep of the items whose vectors are a function of frozen text vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor

from recbole_specgr.models.item_tables import ItemTables, NewItems
from recbole_specgr.models.seen_rows import rows_of_new, seen_rows


class TextItemTable(ItemTables, SequentialRecommender):
    """A recommender with text vectors, which of them are seen, and a table that is mapped from them when needed.

    An item that arrives after training is mapped by the same function. Subclasses give `map_text`, and call
    `keep_text` in their constructor.

    Attributes:
        features: text vectors `[n_items, d_text]`, row 0 zeros.
        seen_items: items of the training data `[n_seen]`.
        seen_row: each item's row among these, -1 for all others `[n_items]`.
    """

    item_tables: tuple[str, ...] = ("features", "seen_row")
    item_caches = ("_table",)
    features: Tensor
    seen_items: Tensor
    seen_row: Tensor
    _table: Tensor | None
    _directions: tuple[Tensor, Tensor] | None = None  # the table that they were made of, and they

    def keep_text(self, text_vectors: np.ndarray, seen: Tensor) -> None:
        """Keep the text vectors `[n_items, d_text]` of all items, of which `seen` `[n_items]` are in the training data.

        They are not saved: they are the data set's, and its next version may have more items.
        """
        items, row = seen_rows(seen)
        self.register_buffer("features", torch.from_numpy(text_vectors), persistent=False)
        self.register_buffer("seen_items", items, persistent=False)
        self.register_buffer("seen_row", row, persistent=False)
        self._table = None

    def map_text(self, features: Tensor) -> Tensor:
        """Text vectors `[n, d_text]` -> the table's rows `[n, d]`."""
        raise NotImplementedError

    @torch.no_grad()
    def item_table(self, chunk: int = 8192) -> Tensor:
        """Mapped text of all items `[n_items, d]`, row 0 zeros; kept until the parameters may change."""
        if self._table is None:
            table = torch.cat([self.map_text(part) for part in self.features.split(chunk)])
            table[0] = 0
            self._table = table
        return self._table

    @torch.no_grad()
    def item_directions(self) -> Tensor:
        """The rows of `item_table` at unit length `[n_items, d]`; kept as long as the table is."""
        table = self.item_table()
        if self._directions is None or self._directions[0] is not table:
            self._directions = table, F.normalize(table, dim=-1)
        return self._directions[1]

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        return {"features": new.features, "seen_row": rows_of_new(len(new))}

    def new_cache_rows(self, new: NewItems) -> dict[str, Tensor]:
        return {"_table": self.map_text(new.features.to(self.features))}

    def train(self, mode: bool = True) -> Any:
        self._table = self._directions = None
        return super().train(mode)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._table = self._directions = None
