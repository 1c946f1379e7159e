"""The evaluation every trainer has: ranked lists, three subsets, and how long a batch of users took."""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from recbole.data.dataloader import FullSortEvalDataLoader
from torch import Tensor
from tqdm import tqdm

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.evaluation import Evaluator, RankCollector, check_topk
from recbole_specgr.evaluation.collector import evaluated_rows
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.runs.collecting import WITHOUT_EARLIER_ITEMS
from recbole_specgr.system.interruption import Terminated, asked, safe_points
from recbole_specgr.system.processes import any_process, from_all_processes, world
from recbole_specgr.training.hidden_target import target_hidden_from, without_target
from recbole_specgr.training.listed_items import ListedItems, ListedShares
from recbole_specgr.training.memory import out_of_memory_advice
from recbole_specgr.training.mixin import TrainerMixin
from recbole_specgr.training.shards import EvaluationShards
from recbole_specgr.training.steadiness import warn_of_unsteady_lists


@dataclass
class Latency:
    """Seconds that the model took for each batch of users, and the batches' sizes.

    Attributes:
        processes: how many ranked batches at the same time.
    """

    seconds: list[float] = field(default_factory=list)
    users: list[int] = field(default_factory=list)
    processes: int = 1

    def summary(self) -> dict[str, float | int]:
        """users/s over all batches; median and 95th percentile milliseconds of the full ones."""
        size = max(self.users)
        full = [1000 * time for time, users in zip(self.seconds, self.users) if users == size]
        return {
            "users_per_second": round(self.processes * sum(self.users) / sum(self.seconds), 1),
            "batch_size": size,
            "batch_ms_p50": round(float(np.percentile(full, 50)), 3),
            "batch_ms_p95": round(float(np.percentile(full, 95)), 3),
        }


class InductiveEvaluation(TrainerMixin):
    """Mixin over any RecBole trainer.

    After `evaluate`, `rows` holds what the collector kept of each row, `latency` the times of its batches, and `listed`
    what the lists of test were made of. It is None of valid and where they hold nothing, and leaves out batches that an
    interrupted evaluation had ranked before.

    Attributes:
        evaluation_folder: where the batches of an evaluation are kept until it is finished; None keeps nothing.
    """

    rows: dict[str, Tensor]
    latency: Latency
    listed: ListedShares | None
    evaluation_folder: Path | None

    def _init_evaluation(self) -> None:
        self.evaluator = Evaluator(self.config)
        self.eval_collector = RankCollector(self.config, self.evaluator.needs_lists)
        self.evaluation_folder = None

    @torch.no_grad()
    def evaluate(self, eval_data, load_best_model=True, model_file=None, show_progress=False) -> dict[str, float]:
        """Rank the phase's candidates for every row of `eval_data` and return the metrics.

        The processes of torchrun share the batches; all of them return the metrics, which are those of one process.

        Args:
            load_best_model: first load `model_file`, or the best checkpoint of the last stage.

        Raises:
            UserError: topk is above the number of candidates; a checkpoint that can't be used; too little memory.
            ValueError: a faulty list or score from the model.
            Terminated: after SIGTERM; what is ranked is in `evaluation_folder`.
        """
        if load_best_model:
            self._load(model_file or self.saved_model_file)
        if not isinstance(eval_data, FullSortEvalDataLoader):
            raise ValueError("Only the full ranking is evaluated; set eval_args.mode to full.")
        dataset = eval_data._dataset
        check_topk(self.config["topk"], dataset.candidates, dataset.phase)
        ranker, candidates, k = self.ranker(dataset), dataset.candidates.to(self.device), max(self.config["topk"])
        self.model.eval()
        self.eval_collector.start(dataset)
        shards = EvaluationShards(
            self.evaluation_folder,
            self.config["checkpoint_minutes"],
            self.model,
            dict(self.model.decoding),
            dataset.protocol,
            dataset.phase,
            [self.config[key] for key in ("eval_batch_size", "topk", "metrics", "unseen_history")],
            {} if self.config["repeatable"] else WITHOUT_EARLIER_ITEMS,
            *([dataset.rows.numpy()] if len(dataset) < dataset.phase_rows else []),
        )
        earlier, done = shards.found()
        seconds: dict[int, float] = {}
        listed, batch_rows = ListedItems(), _rows_of_batches(eval_data)
        for number, kept in earlier.items():
            self.eval_collector.add(number, kept["rows"])
            seconds[number] = kept["seconds"]
        try:
            with (
                out_of_memory_advice(self.config, training=False),
                target_hidden_from(self.config["model"], dataset),
            ):
                for number, batch in self.batches(eval_data, f"evaluate {dataset.phase}", show_progress, done):
                    started = self._now()
                    interaction = batch[0].to(self.device)
                    ranked = ranker.rank(interaction, k, candidates)
                    seconds[number] = self._now() - started
                    if dataset.phase == "test":
                        if number == 0:
                            warn_of_unsteady_lists(ranker, interaction, ranked, candidates)
                        listed.add(ranked, partial(_earlier_items, dataset, batch_rows[number]))
                    rows = self.eval_collector.rows(ranked.items, batch[0], *batch[2:])
                    self.eval_collector.add(number, rows)
                    shards.add(number, rows, seconds[number])
        except Terminated:
            shards.save()
            self.logger.warning(
                f"Stopped by SIGTERM while the {dataset.phase} phase was ranked; --resume goes on there."
            )
            raise
        self.rows = self.eval_collector.collected()
        self.latency = self._latency(seconds, eval_data)
        self.listed = listed.shares()
        shards.clear()
        return self.evaluator.evaluate(evaluated_rows(self.rows, dataset))

    def batches(self, eval_data, title: str, show_progress: bool = False, done: Collection[int] = ()):
        """The batches that are this process's to rank, each as (its number, what the loader collates); the target is
        not among what the model is given, but in what comes after it.

        Which rows a batch has depends on `eval_batch_size` only: the processes share whole batches. A row is thus
        ranked beside the same rows however many processes there are, and its scores have the same last bit.

        Args:
            done: numbers of batches that are left out.

        Raises:
            Terminated: after SIGTERM to any of the processes.
        """
        rank, size = world()
        rows = _rows_of_batches(eval_data)
        todo = [number for number in range(len(rows)) if number not in done]
        bar = tqdm(
            range(0, len(todo), size),
            title,
            leave=False,
            disable=None if show_progress else True,
            dynamic_ncols=True,
        )
        with safe_points():
            for first in bar:
                for number in todo[first:][rank : rank + 1]:
                    interaction, *targets = eval_data.collate_fn(rows[number].numpy())
                    yield number, (without_target(interaction, eval_data._dataset), *targets)
                if any_process(asked())[0]:
                    raise Terminated

    def _latency(self, seconds: dict[int, float], eval_data) -> Latency:
        """From the times of this process's batches, by number, to those of all of them."""
        everyone = {number: time for part in from_all_processes(seconds) for number, time in part.items()}
        users = [len(rows) for rows in _rows_of_batches(eval_data)]
        return Latency([everyone[number] for number in sorted(everyone)], users, world()[1])

    def ranker(self, dataset) -> Ranker:
        """The model under the run's settings; `dataset` is any view."""
        seen = dataset.seen.to(self.device)
        return Ranker(self.model, seen, self.config["unseen_history"], self.config["repeatable"])

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return perf_counter()


def _earlier_items(dataset: InductiveDataset, rows: Tensor, users: Tensor) -> Tensor:
    """What some of the users of a batch have had: numbers `[b]` among its rows `[B]` -> items `[b, S]`."""
    return dataset.earlier_items(rows[users])


def _rows_of_batches(eval_data) -> tuple[Tensor, ...]:
    """The rows of the phase that each batch has, in all processes alike."""
    return torch.arange(len(eval_data._dataset)).split(eval_data._batch_size)
