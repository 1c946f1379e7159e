"""The evaluation every trainer has: ranked lists, three subsets, and how long a batch of users took."""

from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from recbole.evaluator.collector import DataStruct
from torch import Tensor
from tqdm import tqdm

from recbole_specgr.data.unseen_history import without_unseen
from recbole_specgr.evaluation import RankCollector, SubsetEvaluator, check_ranked, check_topk, rank_scores


@dataclass
class Latency:
    """Seconds that the model took for each batch of users, and the batches' sizes."""

    seconds: list[float] = field(default_factory=list)
    users: list[int] = field(default_factory=list)

    def summary(self) -> dict[str, float | int]:
        """users/s over all batches; median and 95th percentile milliseconds of the full ones."""
        size = max(self.users)
        full = [1000 * time for time, users in zip(self.seconds, self.users) if users == size]
        return {
            "users_per_second": round(sum(self.users) / sum(self.seconds), 1),
            "batch_size": size,
            "batch_ms_p50": round(float(np.percentile(full, 50)), 3),
            "batch_ms_p95": round(float(np.percentile(full, 95)), 3),
        }


class InductiveEvaluation:
    """Mixin over any RecBole trainer.

    After `evaluate`, `rows` holds what the collector kept of each row and `latency` the times of its batches.
    """

    rows: DataStruct
    latency: Latency

    def _init_evaluation(self) -> None:
        self.eval_collector = RankCollector(self.config)
        self.evaluator = SubsetEvaluator(self.config)

    @torch.no_grad()
    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False) -> dict[str, float]:
        """Rank the phase's candidates for every row of `eval_data` and return the metrics.

        Args:
            load_best_model: first load `model_file`, or the best checkpoint of the last stage.

        Raises:
            UserError: topk is above the number of candidates; a checkpoint that can't be used.
            ValueError: a faulty list or score from the model.
        """
        if load_best_model:
            self._load(model_file or self.saved_model_file)
        if not isinstance(eval_data, FullSortEvalDataLoader):
            raise ValueError("Only the full ranking is evaluated; set eval_args.mode to full.")
        dataset, self.tot_item_num = eval_data._dataset, eval_data._dataset.item_num
        check_topk(self.config["topk"], dataset.candidates, dataset.phase)
        candidates = dataset.candidates.to(self.device)
        seen = dataset.seen.to(self.device)
        inductive = getattr(self.model, "inductive", False)
        rankable = self.rankable(dataset)
        drops = not inductive and self.config["unseen_history"] == "drop"
        if self.item_tensor is None and not hasattr(self.model, "full_sort_topk"):
            self.item_tensor = dataset.get_item_feature().to(self.device)  # for models that only have `predict`
        self.model.eval()
        self.latency = Latency()
        self.eval_collector.start(dataset.seen, len(dataset))
        bar = tqdm(
            eval_data,
            f"evaluate {dataset.phase}",
            leave=False,
            disable=None if show_progress else True,
            dynamic_ncols=True,
        )
        for batch in bar:
            started = self._now()
            if drops:
                fields = dataset.item_id_list_field, dataset.item_list_length_field
                batch = without_unseen(batch[0].to(self.device), *fields, seen), *batch[1:]
            ranked = self._rank(batch, candidates, rankable)
            self.latency.seconds.append(self._now() - started)
            self.latency.users.append(len(ranked))
            self.eval_collector.eval_batch_collect(ranked, batch[0], *batch[2:])
        self.rows = self.eval_collector.get_data_struct()
        return self.evaluator.evaluate(self.rows)

    def rankable(self, dataset) -> Tensor:
        """What the model may rank `[n_items]`: the phase's candidates, only seen ones if the model is not inductive."""
        allowed = dataset.candidates if getattr(self.model, "inductive", False) else dataset.candidates & dataset.seen
        return allowed.to(self.device)

    def _rank(self, batch, candidates: Tensor, rankable: Tensor) -> Tensor:
        """Item ids [B, K] of one batch, best first, -1 where there is none."""
        k = max(self.config["topk"])
        if not hasattr(self.model, "full_sort_topk"):
            return rank_scores(self._full_sort_batch_eval(batch)[1], k, rankable)
        interaction = batch[0].to(self.device)
        ranked = self.model.full_sort_topk(interaction, k, rankable)
        check_ranked(ranked, len(interaction), k, rankable)
        return ranked

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()
