"""Catalogues of millions: the nearest item vectors are found by an index of faiss, instead of scoring all items."""

from __future__ import annotations

import faiss
import torch
from torch import Tensor

from recbole_specgr.system.errors import UserError


class NearestItems:
    """The items of largest inner product with a user.

    Args:
        vectors: of all items `[n_items, d]`.
        items: those to search among `[n]`.
        factory: faiss' description of an index, such as `HNSW32` or `IVF1024,Flat`.
        setting: the name of the setting that gives it, for messages.

    Raises:
        UserError: faiss does not know the description, or can't build it for so few items.
    """

    def __init__(self, vectors: Tensor, items: Tensor, factory: str, setting: str = "draft_index") -> None:
        self.items = items
        rows = vectors[items].detach().float().cpu().contiguous().numpy()
        try:
            self.index = faiss.index_factory(rows.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
            if not self.index.is_trained:
                self.index.train(rows)
            self.index.add(rows)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise UserError(
                f"[{setting}: {factory}] can't be built by faiss for {len(items):,} items ({reason}). Take Flat, or "
                f"another of faiss' index descriptions."
            ) from error

    def search(self, users: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """The best items of each user `[B, d]`, -1 where the index finds fewer, and their scores; `[B, n]`, n being
        `size` or all items, where there are fewer."""
        found = self.index.search(users.detach().float().cpu().contiguous().numpy(), min(size, len(self.items)))
        scores, places = torch.from_numpy(found[0]).to(users), torch.from_numpy(found[1]).to(self.items.device)
        items = torch.where(places < 0, -1, self.items[places])
        return items, scores.masked_fill(places < 0, -torch.inf)
