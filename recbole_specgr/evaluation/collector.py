"""What an evaluation keeps of each test row: the target's rank, its subset, and the list where a metric needs it."""

import torch
import torch.distributed as dist
from recbole.evaluator import Collector
from recbole.evaluator.collector import DataStruct
from torch import Tensor


class RankCollector(Collector):
    """RecBole's collector, fed with ranked item ids [B, K] in place of scores [B, n_items].

    Per row it keeps `rec.rank` (1 = best, 0 = the target is not in the list), `rec.unseen`, `rec.user`, `rec.target`,
    and `rec.items` [K] only when a metric asks for it.
    """

    seen: Tensor  # BoolTensor [n_items], set before an evaluation
    total: int  # rows of the whole evaluation, over all processes

    def start(self, seen: Tensor, total: int) -> None:
        """Forget the rows of an earlier evaluation, one that was interrupted included."""
        self.seen, self.total = seen.to(self.device), total
        self._batches: dict[str, list[Tensor]] = {}

    def eval_batch_collect(self, ranked: Tensor, interaction, positive_u: Tensor, positive_i: Tensor) -> None:
        """Add a batch: `ranked` [B, K], -1 in the places that are empty; one target a row.

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
            "rec.user": interaction[self.config["USER_ID_FIELD"]].to(ranked.device),
            "rec.target": target,
        }
        if self.register.need("rec.items"):
            batch["rec.items"] = ranked.int()
        for key, value in batch.items():
            self._batches.setdefault(key, []).append(value)

    def get_data_struct(self) -> DataStruct:
        """Return all rows (CPU tensors, data set order, from every process), and the training data's counts."""
        struct = DataStruct()
        for key in ("data.num_items", "data.count_items"):
            if key in self.data_struct:
                struct.set(key, self.data_struct[key])
        for key, parts in self._batches.items():
            struct.set(key, _gather(torch.cat(parts), self.total).cpu())
        self._batches = {}
        return struct


def _gather(rows: Tensor, total: int) -> Tensor:
    """Undo DistributedSampler: rank r has rows r, r + world size, ... and the last ones repeat the first."""
    if not dist.is_initialized():
        return rows
    sent = rows.to(torch.int32) if rows.dtype == torch.bool else rows.contiguous()
    parts = [torch.empty_like(sent) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, sent)
    return torch.stack(parts, dim=1).flatten(0, 1)[:total].to(rows.dtype)
