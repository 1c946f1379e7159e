"""Settings of inference tuned on the valid phase after training, in one pass over its users."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from logging import getLogger
from typing import Any

import torch
from recbole.config import Config

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.evaluation.collector import evaluated_rows
from recbole_specgr.evaluation.known_metrics import smaller_is_better
from recbole_specgr.settings.named_classes import metric_class
from recbole_specgr.settings.result_keys import split_key
from recbole_specgr.system.errors import UserError, did_you_mean
from recbole_specgr.training.hidden_target import target_hidden_from

FAR = 0.05  # between two shares that should be tuned for differently
FEW = 0.2  # of the best in-sample score that was reached, below which little is left of it
EXPECTED = "auto"  # the value of tune_unseen_share that stands for what test may be expected to have


@dataclass(frozen=True)
class Tuning:
    """What was tried and chosen.

    Attributes:
        metric: the valid_metric it was chosen by.
        unseen_share: the share of unseen targets that it was chosen for; None: valid's own.
        grid: setting -> the values that were tried, every combination of them.
        points: each combination with all its metrics on the valid phase, in the grid's order.
        choice: the best combination; of equal ones the first.
        score, result: the choice's valid_metric, and all its metrics.
    """

    metric: str
    unseen_share: float | None
    grid: dict[str, list[Any]]
    points: list[dict[str, Any]]
    choice: dict[str, Any]
    score: float
    result: dict[str, float]

    def record(self) -> dict[str, Any]:
        """Plain data for the result record."""
        return {
            "metric": self.metric,
            "unseen_share": self.unseen_share,
            "grid": self.grid,
            "choice": self.choice,
            "points": self.points,
        }


@torch.no_grad()
def tune(trainer, eval_data, grid: dict[str, list[Any]], show_progress: bool = False) -> Tuning:
    """Evaluate the trained model at every point of `grid` and leave it with the best one.

    What may be tuned is the model's `decoding`. A batch of users is encoded once for all points.

    Args:
        trainer: after `fit`.
        eval_data: loader of the valid phase.

    Raises:
        UserError: a setting that this model can't change after training.
    """
    model = trainer.model
    check_grid(grid, model.decoding, trainer.config["model"])
    points = [dict(zip(grid, values)) for values in product(*grid.values())]
    before = dict(model.decoding)
    view, k = eval_data._dataset, max(trainer.config["topk"])
    ranker, candidates = trainer.ranker(view), view.candidates.to(trainer.device)
    model.eval()
    collectors = [copy.copy(trainer.eval_collector) for _ in points]
    for collector in collectors:
        collector.start(view)
    try:
        with target_hidden_from(trainer.config["model"], view):
            for number, batch in trainer.batches(eval_data, f"tune {len(points)} settings", show_progress):
                lists = ranker.rank_at(points, batch[0].to(trainer.device), k, candidates)
                for collector, ranked in zip(collectors, lists):
                    collector.add(number, collector.rows(ranked.items, batch[0], *batch[2:]))
        results = [trainer.evaluator.evaluate(evaluated_rows(each.collected(), view)) for each in collectors]
    except BaseException:
        model.change_decoding(before)
        raise
    share = share_tuned_for(trainer.config, view)
    scores = [
        trainer.score_of(result) if share is None else at_share(result, trainer.valid_metric, share)
        for result in results
    ]
    best = scores.index(max(scores) if trainer.valid_metric_bigger else min(scores))
    model.change_decoding(points[best])
    score = trainer.score_of(results[best])
    chosen = ", ".join(f"{key} {value}" for key, value in points[best].items())
    weighted = "" if share is None else f", {scores[best]:.4f} if {share:.0%} of the targets were unseen"
    getLogger().info(
        f"tuned on valid, {len(points)} settings tried: {chosen} ({trainer.valid_metric} {score:.4f}{weighted})"
    )
    for said in doubts(grid, points, results, best, trainer.valid_metric):
        getLogger().warning(said)
    return Tuning(
        metric=trainer.valid_metric,
        unseen_share=share,
        grid=grid,
        points=[{**point, "metrics": result} for point, result in zip(points, results)],
        choice=points[best],
        score=score,
        result=results[best],
    )


def doubts(
    grid: Mapping[str, list[Any]],
    points: list[dict[str, Any]],
    results: list[dict[str, float]],
    best: int,
    metric: str,
) -> list[str]:
    """What makes the choice less sure than it looks, a sentence each: a setting that changed nothing, a number at an
    end of its grid, seen items that are hardly found any more.

    Args:
        points, results: of each combination; its settings, and all its metrics.
        best: the number of the choice.
        metric: the valid_metric.
    """
    found = []
    idle = [key for key in grid if len(grid[key]) > 1 and _changes_nothing(key, points, results)]
    if idle:
        found.append(f"On valid, {' and '.join(idle)} made no difference: all values that were tried gave the same.")
    for key, values in grid.items():
        chosen = points[best][key]
        if (
            key in idle
            or len(values) < 3
            or chosen == 0
            or isinstance(chosen, bool)
            or not isinstance(chosen, int | float)
        ):
            continue
        if chosen in (min(values), max(values)):
            end = "largest" if chosen == max(values) else "smallest"
            found.append(
                f"{key} [{chosen}] is the {end} value that was tried: one beyond may do better (--tune.{key})."
            )
    part = f"in_sample_{metric.lower()}"
    in_sample = [result.get(part, 0.0) for result in results]
    if in_sample[best] < FEW * max(in_sample) and not smaller_is_better(split_key(metric)[1]):
        found.append(
            f"Under the chosen settings in-sample {metric} on valid is {in_sample[best]:.4f}, under others up to "
            f"{max(in_sample):.4f}: the lists hold hardly any seen items that users want. Where that is not what you "
            f"want, give smaller bonuses for new items to choose from."
        )
    return found


def _changes_nothing(key: str, points: list[dict[str, Any]], results: list[dict[str, float]]) -> bool:
    """Whether the results are the same for all values of a setting, whatever the others are."""
    groups: dict[tuple, list[dict[str, float]]] = {}
    for point, result in zip(points, results, strict=True):
        rest = tuple((other, repr(value)) for other, value in point.items() if other != key)
        groups.setdefault(rest, []).append(result)
    return all(result == group[0] for group in groups.values() for result in group)


def at_share(result: dict[str, float], metric: str, share: float) -> float:
    """What an overall metric would be if `share` of the targets were unseen: its two parts, weighted by that."""
    return (1 - share) * result[f"in_sample_{metric}"] + share * result[f"unseen_{metric}"]


def grid_that_is_read(config: Config, decoding: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What is tuned: `tune`, without what a property file would tune and this model does not read, such as the beams of
    SpecGR on a verifier that has none. What the user wants tuned stays, for `check_tuning` to refuse.

    Args:
        decoding: the model's settings of inference.
    """
    grid = config["tune"] or {}
    given = {name.partition(".")[2] for name in config.given() if name.startswith("tune.")}
    return {key: grid[key] for key in grid if key in decoding or key in given}


def check_tuning(
    config: Config, grid: dict[str, list[Any]], decoding: Mapping[str, Any], valid: InductiveDataset
) -> None:
    """Check what is to be tuned before anything is trained.

    Args:
        config: `tune_unseen_share` and `valid_metric` are read.
        grid: what is to be tuned.
        decoding: the model's settings of inference.
        valid: the valid view.

    Raises:
        UserError: a setting that this model can't change after training; a share where valid has but one part, or where
            the metric is of one.
    """
    share, metric = config["tune_unseen_share"], config["valid_metric"]
    if not grid:
        if share not in (None, EXPECTED):
            getLogger().warning(f"[tune_unseen_share: {share}] has no effect: no setting of inference is tuned.")
        return
    check_grid(grid, decoding, config["model"])
    if share is None:
        _say_what_to_expect(valid, metric)
    elif share == EXPECTED:
        _say_what_is_tuned_for(valid, metric)
    elif reason := _why_not_weighted(valid, metric):
        raise UserError(
            f"[tune_unseen_share: {share}] weights the two parts of an overall metric, in-sample and unseen, but "
            f"{reason}. Leave it out."
        )


def share_tuned_for(config: Mapping[str, Any], valid: InductiveDataset) -> float | None:
    """The share of unseen targets that settings of inference are chosen for; None: valid's own.

    `tune_unseen_share: auto` is the share that test may be expected to have, from what lies before it. Where nothing
    is known of that, or where there are no two parts to weight, it is valid's own.

    Args:
        config: `tune_unseen_share` and `valid_metric` are read.
        valid: the valid view.
    """
    share: float | str | None = config["tune_unseen_share"]
    if share != EXPECTED:
        return None if share is None else float(share)
    return None if _why_not_weighted(valid, config["valid_metric"]) else _expected_share(valid)


def _expected_share(valid: InductiveDataset) -> float | None:
    """The share of unseen targets that test may be expected to have; None where nothing before it tells."""
    expected: float | None = valid.split.facts.get("expected_unseen_share")
    return expected


def _unseen_share(valid: InductiveDataset) -> float:
    """The share of valid's targets that are unseen."""
    return float((~valid.seen[valid.inter_feat[valid.iid_field]]).double().mean())


def _why_not_weighted(valid: InductiveDataset, metric: str) -> str:
    """Why there are no in-sample and unseen part of valid's score to weight; "" where there are."""
    if split_key(metric)[0]:
        return f"[valid_metric: {metric}] is of one part"
    if not metric_class(split_key(metric)[1]).averaged:
        return f"[valid_metric: {metric}] is no mean over targets"
    unseen = _unseen_share(valid)
    if unseen in (0, 1):
        return f"all targets of the valid phase are {'unseen' if unseen else 'in-sample'}"
    return ""


def _say_what_to_expect(valid: InductiveDataset, metric: str) -> None:
    """Say so where test may be expected to have another share of unseen targets than valid, and both could be weighted
    for it."""
    expected, unseen = _expected_share(valid), _unseen_share(valid)
    if expected is not None and abs(expected - unseen) >= FAR and not _why_not_weighted(valid, metric):
        getLogger().info(
            f"Settings of inference are tuned for valid's {unseen:.1%} of unseen targets. From what lies before test, "
            f"{expected:.1%} may be expected there: --tune_unseen_share={EXPECTED} tunes for that."
        )


def _say_what_is_tuned_for(valid: InductiveDataset, metric: str) -> None:
    """Say which share of unseen targets `auto` stands for, and why where it is valid's own."""
    expected, unseen = _expected_share(valid), _unseen_share(valid)
    reason = _why_not_weighted(valid, metric)
    if expected is None and not reason:
        reason = (
            "what lies before test does not say what to expect of it (so it is under leave-one-out, with "
            "launch_holdout, and where training has no more interactions than valid)"
        )
    if reason:
        said = f"tuned for valid's own share of unseen targets, {unseen:.1%}: {reason}."
    else:
        said = f"tuned for {expected:.1%} of unseen targets, as may be expected of test; valid has {unseen:.1%}."
    getLogger().info(f"tune_unseen_share {EXPECTED}: settings of inference are {said}")


def check_grid(grid: dict[str, list[Any]], decoding: Mapping[str, Any], model: str) -> None:
    """Raise UserError for a setting that this model can't change after training."""
    for key in grid.keys() - decoding.keys():
        raise UserError(
            f"[tune.{key}]: {model} has no setting of this name that can change after training."
            f"{did_you_mean(key, decoding)} It has: {', '.join(decoding) or 'none'}."
        )
