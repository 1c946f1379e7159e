"""What an evaluation keeps of each test row: the target's rank, its part, and the list where a metric needs it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.evaluation.rows import Rows
from recbole_specgr.system.processes import gather_rows


class RankCollector:
    """Takes the place of RecBole's collector: it is fed with ranked item ids [B, K], not with scores [B, n_items].

    Per row it keeps `rec.rank` (1 = best, 0 = the target is not in the list), `rec.unseen`, `rec.user`, `rec.target`,
    and `rec.items` [K] where lists are wanted.

    Attributes:
        keeps_lists: lists are wanted.
    """

    def __init__(self, config: Any, keeps_lists: bool) -> None:
        self.device, self.keeps_lists = config["device"], keeps_lists
        self.user_field, self.longest = config["USER_ID_FIELD"], max(config["topk"])
        self.seen = torch.empty(0, dtype=torch.bool)
        self._batches: dict[int, dict[str, Tensor]] = {}

    def start(self, dataset: Any) -> None:
        """Forget the rows of an earlier evaluation, one that was interrupted included; `dataset` is any view."""
        self.seen = dataset.seen.to(self.device)
        self._batches = {}

    def rows(
        self, ranked: Tensor, interaction: Interaction, positive_u: Tensor, positive_i: Tensor
    ) -> dict[str, Tensor]:
        """What is kept of a batch, for `add`.

        Args:
            ranked: `[B, K]`, -1 in the places that are empty.
            positive_u, positive_i: the row and the item of each target, as RecBole's loader gives them `[B]`.

        Raises:
            ValueError: the rows do not have exactly one target each.
        """
        rows = torch.arange(len(ranked))
        if not torch.equal(positive_u.cpu(), rows):
            raise ValueError("The evaluation needs exactly one target a row, as sequential data has.")
        target = positive_i.to(ranked.device)
        hit = ranked == target[:, None]
        batch = {
            "rec.rank": torch.where(hit.any(1), hit.int().argmax(1) + 1, 0).int(),
            "rec.unseen": ~self.seen[target],
            "rec.user": interaction[self.user_field].to(ranked.device),
            "rec.target": target,
        }
        if self.keeps_lists:
            batch["rec.items"] = ranked.int()
        return batch

    def add(self, number: int, rows: dict[str, Tensor]) -> None:
        """Add the batch `number` of the evaluation; every batch by one process, in any order."""
        self._batches[number] = rows

    def collected(self) -> dict[str, Tensor]:
        """All rows: CPU tensors, in the order of the batches' numbers, from every process. None are left here."""
        numbers = [torch.full((len(rows["rec.rank"]),), number) for number, rows in self._batches.items()]
        order = gather_rows(torch.cat([*numbers, torch.empty(0, dtype=torch.long)])).argsort(stable=True)
        rows = {}
        for key, empty in self._nothing().items():
            parts = [empty, *(batch[key].to(self.device) for batch in self._batches.values())]
            rows[key] = gather_rows(torch.cat(parts)).cpu()[order]
        self._batches = {}
        return rows

    def _nothing(self) -> dict[str, Tensor]:
        """No rows: what a process has that no batch came to."""
        nothing = torch.empty(0, dtype=torch.long, device=self.device)
        empty = {"rec.rank": nothing.int(), "rec.unseen": nothing.bool(), "rec.user": nothing, "rec.target": nothing}
        if self.keeps_lists:
            empty["rec.items"] = nothing.int().view(0, self.longest)
        return empty


def evaluated_rows(collected: dict[str, Tensor], dataset: Any) -> Rows:
    """What `RankCollector.collected` gives, with what metrics of lists need of the data; `dataset` is any view."""
    columns = {key.removeprefix("rec."): value.numpy() for key, value in collected.items()}
    counts, lists = None, columns.get("items")
    if lists is not None:
        counts = np.zeros(dataset.item_num, dtype=np.int64)
        for item, count in dataset.train_counter.items():
            counts[item] = count
    return Rows(
        rank=columns["rank"],
        unseen=columns["unseen"],
        user=columns["user"],
        target=columns["target"],
        lists=lists,
        n_items=dataset.item_num,
        train_counts=counts,
    )
