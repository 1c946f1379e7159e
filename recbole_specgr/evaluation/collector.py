"""What an evaluation keeps of each test row: the target's rank, its subset, and the list where a metric needs it."""

import torch
from recbole.evaluator import Collector
from recbole.evaluator.collector import DataStruct
from torch import Tensor

from recbole_specgr.system.processes import gather_rows


class RankCollector(Collector):
    """RecBole's collector, fed with ranked item ids [B, K] in place of scores [B, n_items].

    Per row it keeps `rec.rank` (1 = best, 0 = the target is not in the list), `rec.unseen`, `rec.user`, `rec.target`,
    and `rec.items` [K] only when a metric asks for it.
    """

    seen: Tensor  # BoolTensor [n_items], set before an evaluation

    def data_collect(self, train_data) -> None:
        """RecBole's hook. What it collects of the training data, `start` takes from any view."""

    def start(self, dataset) -> None:
        """Forget the rows of an earlier evaluation, one that was interrupted included.

        Args:
            dataset: any view; metrics may need its number of items and how often training has each of them.
        """
        self.seen = dataset.seen.to(self.device)
        if self.register.need("data.num_items"):
            self.data_struct.set("data.num_items", dataset.item_num)
        if self.register.need("data.count_items"):
            self.data_struct.set("data.count_items", dataset.train_counter)
        self._batches: dict[int, dict[str, Tensor]] = {}

    def eval_batch_collect(self, ranked: Tensor, interaction, positive_u: Tensor, positive_i: Tensor) -> None:
        """Add the next batch: `ranked` [B, K], -1 in the places that are empty; one target a row.

        Raises:
            ValueError: the rows do not have exactly one target each.
        """
        self.add(len(self._batches), self.rows(ranked, interaction, positive_u, positive_i))

    def rows(self, ranked: Tensor, interaction, positive_u: Tensor, positive_i: Tensor) -> dict[str, Tensor]:
        """What is kept of a batch, as `eval_batch_collect` has it."""
        rows = torch.arange(len(ranked))
        if not torch.equal(positive_u.cpu(), rows):
            raise ValueError("The evaluation needs exactly one target a row, as sequential data has.")
        target = positive_i.to(ranked.device)
        hit = ranked == target[:, None]
        batch = {
            "rec.rank": torch.where(hit.any(1), hit.int().argmax(1) + 1, 0).int(),
            "rec.unseen": ~self.seen[target],
            "rec.user": interaction[self.config["USER_ID_FIELD"]].to(ranked.device),
            "rec.target": target,
        }
        if self.register.need("rec.items"):
            batch["rec.items"] = ranked.int()
        return batch

    def add(self, number: int, rows: dict[str, Tensor]) -> None:
        """Add the batch `number` of the evaluation; every batch by one process, in any order."""
        self._batches[number] = rows

    def get_data_struct(self) -> DataStruct:
        """Return all rows (CPU tensors, in the order of the batches' numbers, from every process), and the training
        data's counts."""
        struct = DataStruct()
        for key in ("data.num_items", "data.count_items"):
            if key in self.data_struct:
                struct.set(key, self.data_struct[key])
        numbers = [torch.full((len(rows["rec.rank"]),), number) for number, rows in self._batches.items()]
        order = gather_rows(torch.cat([*numbers, torch.empty(0, dtype=torch.long)])).argsort(stable=True)
        for key, empty in self._nothing().items():
            parts = [empty, *(rows[key].to(self.device) for rows in self._batches.values())]
            struct.set(key, gather_rows(torch.cat(parts)).cpu()[order])
        self._batches = {}
        return struct

    def _nothing(self) -> dict[str, Tensor]:
        """No rows: what a process has that no batch came to."""
        nothing = torch.empty(0, dtype=torch.long, device=self.device)
        empty = {"rec.rank": nothing.int(), "rec.unseen": nothing.bool(), "rec.user": nothing, "rec.target": nothing}
        if self.register.need("rec.items"):
            empty["rec.items"] = nothing.int().view(0, max(self.config["topk"]))
        return empty
