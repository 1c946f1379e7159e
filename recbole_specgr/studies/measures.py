"""What a cell of a study measures: the functions in MEASURES, by name.

A measure gets a `Trial` and the parameters that the study gives it. It returns numbers by name, or lists of numbers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.models.speculative_recommender import SpeculativeRecommender
from recbole_specgr.models.verifying import Verifier
from recbole_specgr.studies.list_likeness import first_codes, mean_cosine, mean_shared_prefix
from recbole_specgr.studies.new_items import new_items
from recbole_specgr.studies.trial import Measured, Trial
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.features import load_text_features


def quality(trial: Trial) -> Measured:
    """All test metrics, users/s, and of the lists: the share of unseen items, coverage, popularity and novelty.

    `novelty` is the mean of -log2 of an item's share of the training interactions, one added to every item's.
    """
    (result, lists), view = trial.evaluated, trial.view
    listed, seen, candidates = lists[lists >= 0], view.seen.numpy(), view.candidates.numpy()
    counts = np.bincount(view.train_interactions[1], minlength=view.item_num)
    shown = np.zeros(view.item_num, dtype=bool)
    shown[listed] = True
    surprise = -np.log2((counts + 1) / (counts.sum() + candidates.sum()))
    return {
        **result,
        **trial.trainer.latency.summary(),
        "list_unseen_share": float((~seen[listed]).mean()),
        "list_length": float((lists >= 0).sum(1).mean()),
        "coverage": float(shown[candidates].mean()),
        "unseen_coverage": float(shown[candidates & ~seen].mean()) if (candidates & ~seen).any() else 0.0,
        "popularity": float(counts[listed].mean()),
        "novelty": float(surprise[listed].mean()),
    }


def likeness(trial: Trial) -> Measured:
    """How alike the items of a list are by their text, and, of models with semantic ids, by their codes; and how the
    first codes of what is listed are spread against those of the training interactions (`studies.list_likeness`)."""
    _, lists = trial.evaluated
    texts = load_text_features(trial.trainer.config, trial.view)
    measured: Measured = {"mean_cosine": mean_cosine(lists, texts)}
    model = trial.model
    generator = model.verifier if isinstance(model, SpeculativeRecommender) else model
    if isinstance(generator, Verifier):
        codes = generator.item_codes.cpu().numpy()
        measured["mean_shared_prefix"] = mean_shared_prefix(lists, codes)
        measured |= first_codes(lists, codes, trial.view.train_interactions[1])
    return measured


def acceptance(trial: Trial, rows: int | None = None) -> Measured:
    """Rounds a user takes and the share of the drafts that is accepted: in all, and by round.

    Args:
        rows: the first so many test rows; None: all.
    """
    model = trial.model
    if not isinstance(model, SpeculativeRecommender):
        raise UserError(f"{trial.name} can't be measured by [acceptance]: it does not draft and verify.")
    size = trial.trainer.config["eval_batch_size"]
    parts = [
        model.speculate(batch, trial.k, trial.candidates, trial.ranker.left_out(batch))
        for batch in trial.batches(size, rows)
    ]
    rounds = torch.cat([part.rounds for part in parts]).float()
    drafted, accepted = (torch.cat([getattr(part, name) for part in parts]).sum(0) for name in ("drafted", "accepted"))
    return {
        "rounds": float(rounds.mean()),
        "acceptance_rate": float(accepted.sum() / drafted.sum()),
        "acceptance_by_round": (accepted / drafted.clamp(min=1)).tolist(),
        "drafted_by_round": (drafted / len(rounds)).tolist(),
        "beam_share": float(torch.cat([(part.round_of == -1) & (part.items >= 0) for part in parts]).float().mean()),
    }


def timing(trial: Trial, batch_size: int = 1, batches: int = 50) -> Measured:
    """Median milliseconds of a batch of users, in all and in its steps: encoding, drafting, verifying.

    Raises:
        UserError: the phase has one batch, which only warms up.
    """
    _check_batches(trial, "timing", batch_size)
    steps = trial.model.ranking_steps(trial.k, trial.candidates)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number, batch in enumerate(trial.batches(batch_size, batch_size * (batches + 1))):
        found: Any = None
        for name, step in steps.items():
            started = trial.trainer._now()
            found = step(batch, found)
            if number:  # the first one warms up
                seconds[name].append(trial.trainer._now() - started)
    medians = {f"{name}_ms": 1000 * float(np.median(times)) for name, times in seconds.items()}
    total = 1000 * float(np.median(np.sum(list(seconds.values()), axis=0)))
    return {**medians, "latency_ms": total, "latency_ms_a_user": total / batch_size}


def subset(
    trial: Trial, size: int, method: str = "rank", batch_size: int = 32, batches: int = 5, seed: int = 0
) -> Measured:
    """Milliseconds to rank a random subset of the candidates for a batch of users.

    Args:
        size: items in the subset, at most all candidates.
        method: `rank`, the model's own way; `score`, the likelihood of every item (a generative model's batch scoring).

    Raises:
        UserError: there is no such method, or the phase has one batch, which only warms up.
    """
    _check_batches(trial, "subset", batch_size)
    items = trial.candidates.nonzero().squeeze(1)
    chosen = items[torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))[:size].to(items.device)]
    candidates = torch.zeros_like(trial.candidates)
    candidates[chosen] = True
    rank = SUBSET_METHODS.get(method)
    if rank is None:
        raise UserError(f"subset.method must be one of {', '.join(SUBSET_METHODS)}, but is [{method}].")
    times = []
    for number, batch in enumerate(trial.batches(batch_size, batch_size * (batches + 1))):
        started = trial.trainer._now()
        rank(trial, batch, candidates)
        if number:
            times.append(trial.trainer._now() - started)
    return {"subset_ms": 1000 * float(np.median(times)), "subset_items": len(chosen)}


def training(trial: Trial) -> Measured:
    """What training took and how far it came on the valid phase, from the run's record; numbers of parameters."""
    record = trial.record
    stages = record["training"].values()
    return {
        "training_seconds": sum(stage["seconds"] for stage in stages),
        "training_rows": sum(stage["rows"] for stage in stages),
        **{f"parameters_{kind}": record["parameters"][kind] for kind in ("trainable", "embedding", "frozen")},
        **{f"valid_{key}": value for key, value in record["metrics"]["valid"].items()},
    }


def _check_batches(trial: Trial, measure: str, batch_size: int) -> None:
    if len(trial.view) <= batch_size:
        raise UserError(
            f"[{measure}.batch_size: {batch_size}]: all {len(trial.view)} rows of the {trial.phase} phase are one "
            f"batch, and the first only warms up. Take a smaller one."
        )


def _score_all(trial: Trial, interaction: Interaction, candidates: Tensor) -> Tensor:
    scores = trial.ranker.score_candidates(interaction, candidates)
    if scores is None:
        raise UserError(f"{trial.name} can't be measured by [subset with the method score]: it gives no scores.")
    return scores.topk(min(trial.k, int(candidates.sum())), dim=1).indices


MEASURES: dict[str, Callable[..., Measured]] = {
    measure.__name__: measure for measure in (quality, likeness, acceptance, new_items, timing, subset, training)
}
SUBSET_METHODS: dict[str, Callable[[Trial, Interaction, Tensor], Tensor]] = {"rank": Trial.rank, "score": _score_all}
