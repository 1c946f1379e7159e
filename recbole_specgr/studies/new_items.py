"""Why new items are found or not: what their codes keep of their text, which of them are drafted, and what
verification does to those that are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.decoding.checks import check_draft_scores, check_probabilities
from recbole_specgr.decoding.draft_verify import draft
from recbole_specgr.models.speculative_recommender import SpeculativeRecommender, draft_pool
from recbole_specgr.semantic_ids import SemanticIds, load_tokenizer
from recbole_specgr.semantic_ids.fit import IDS, TOKENIZER
from recbole_specgr.semantic_ids.quality import Neighbours
from recbole_specgr.settings.result_keys import PARTS, split_key
from recbole_specgr.studies.trial import Measured, Trial
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.features import load_text_features

TARGETS = {name: part for name, part in PARTS.items() if part.unseen is not None}  # in-sample and unseen


def new_items(
    trial: Trial, phase: str = "test", drafts: Sequence[int] = (50, 100), items: int = 1000, rows: int | None = None
) -> Measured:
    """Where new items are lost: in their codes, in drafting, or in verification.

    Of every model with semantic ids (its own, or those of a model that it is made of) what `neighbours_kept` gives,
    and the recall of its lists. Of models that draft and verify also what `FirstRound.summary` gives. A value that
    there is nothing to tell by is left out: a data set without new items has none of theirs.

    Args:
        phase: `valid` or `test`.
        drafts: the recall of the drafts is measured at these lengths. All else is told of the longest, whatever the
            model's `draft_size` is, so that models can be compared.
        items: the most seen, and the most new, items whose neighbours are looked at.
        rows: draft and verify for the first so many rows of the phase; None: for all.

    Raises:
        UserError: the model has no semantic ids, or there is no such phase.
    """
    trial = trial.at(phase)
    model, config = trial.model, ids_config(trial.model, trial.trainer.config)
    if config is None:
        raise UserError(f"{trial.name} can't be measured by [new_items]: it has no semantic ids.")
    measured: Measured = neighbours_kept(config, trial.view, items)
    if isinstance(model, SpeculativeRecommender):
        settings = model.draft_verify_settings
        measured |= first_round(trial, max(drafts), rows).summary(
            trial.view.seen.numpy(), drafts, settings.accept_threshold, settings.unseen_bonus
        )
    result, _ = trial.evaluated
    return measured | {key: value for key, value in result.items() if _is_recall_of_targets(key)}


def _is_recall_of_targets(key: str) -> bool:
    part, metric, _ = split_key(key)
    return part in TARGETS and metric == "recall"


# ---- codes -----------------------------------------------------------------------------------------------------------


def ids_config(model: Any, config: Config) -> Config | None:
    """The settings of the model that has semantic ids: this one, or the first of those that it is made of; None where
    there is none."""
    if "semantic_ids" in model.needs:
        return config
    parts = (ids_config(model.parts[name], part_config) for name, part_config in model.part_configs.items())
    return next((found for found in parts if found is not None), None)


def neighbours_kept(config: Config, view: Any, items: int) -> Measured:
    """Whether the codes of items lie where their text does (`Neighbours.in_code_space`), for new items and seen ones.

    Args:
        config: of the run that has the ids.
        view: of the phase, whose candidates the new items are.
        items: the most that are looked at.

    Returns:
        `seen_neighbours_share` and `unseen_neighbours_share`: of an item's 10 nearest seen items by text, the share
        that are among its 10 nearest seen items in code space; `chance_neighbours_share`: what codes that say nothing
        would reach. Nothing where no tokenizer is kept with the ids, or where there are too few items.
    """
    folder = Path(config["run_dir"])
    if not (folder / TOKENIZER).is_file():
        return {}
    tokenizer = load_tokenizer(folder / TOKENIZER)
    ids = SemanticIds.load(folder / IDS, np.asarray(view.field2id_token[view.iid_field], dtype=str))
    features, seen, candidates = load_text_features(config, view), view.seen.numpy(), view.candidates.numpy()
    users, used, _ = view.train_interactions
    measured: Measured = {}
    for name, unseen in (("seen", None), ("unseen", candidates & ~seen)):
        neighbours = Neighbours.of(features, seen, users, used, config["seed"], items, unseen)
        if neighbours is not None:
            shares = neighbours.in_code_space(ids, tokenizer)
            found = {f"{name}_neighbours_share": shares["text"], "chance_neighbours_share": shares["chance"]}
            measured |= {key: share for key, share in found.items() if share is not None}
    return measured


# ---- drafts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FirstRound:
    """What was drafted first for N rows, before anything is accepted.

    Attributes:
        drafts: int [N, n], in the drafter's order, -1 where there are fewer.
        likelihoods: float [N, n], the verifier's mean log-probability of a digit of each (Eq. 2), without the bonus of
            unseen items; -inf beside -1.
        targets: int [N], the items that were really next.
    """

    drafts: np.ndarray
    likelihoods: np.ndarray
    targets: np.ndarray

    def summary(self, seen: np.ndarray, lengths: Sequence[int], accept_threshold: float, bonus: float) -> Measured:
        """What drafting finds of the targets, and what verification makes of it, for unseen and in-sample targets.

        Args:
            seen: bool [n_items].
            lengths: for the recall of the drafts.
            accept_threshold, bonus: the model's own; with them it decides what is accepted.

        Returns:
            for targets, with `in_sample_` or `unseen_` before the name:
            draft_recall@LENGTH: the share of the targets that are among the first LENGTH drafts.
            draft_rank_mean, draft_rank_median: the target's place in the drafter's order, from 1, where it was drafted.
            verified_rank_mean, verified_rank_median: its place among the same drafts ordered by their likelihoods;
                of equal ones that come first which the drafter has first.
            accepted_share: how many of the drafted targets are above the threshold, with the bonus.
            target_score: the mean likelihood of the drafted targets, in nats a digit.
            And for all drafts, targets or not: draft_unseen_share, and the mean likelihoods seen_draft_score and
            unseen_draft_score.
        """
        exist = self.drafts >= 0
        place, drafted = self._target_places(exist)
        own = np.take_along_axis(self.likelihoods, place[:, None], axis=1)
        earlier = np.arange(self.drafts.shape[1]) < place[:, None]
        before = exist & ((self.likelihoods > own) | ((self.likelihoods == own) & earlier))
        ranks = {"draft": place + 1, "verified": before.sum(1) + 1}
        is_new = ~seen[self.targets]
        accepted = own[:, 0] + np.where(is_new, bonus, 0.0) > accept_threshold
        measured: Measured = {}
        for name, part in TARGETS.items():
            rows = part.has(is_new)
            if rows.any():
                for length in lengths:
                    measured[f"{name}draft_recall@{length}"] = float((drafted & (place < length))[rows].mean())
            rows &= drafted
            if rows.any():
                for order, rank in ranks.items():
                    measured[f"{name}{order}_rank_mean"] = float(rank[rows].mean())
                    measured[f"{name}{order}_rank_median"] = float(np.median(rank[rows]))
                measured[f"{name}accepted_share"] = float(accepted[rows].mean())
                measured[f"{name}target_score"] = float(own[rows].mean())
        return measured | self._scores_of_drafts(exist, seen)

    def _target_places(self, exist: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the target stands among the drafts, int [N], from 0, and whether it does, bool [N]."""
        is_target = exist & (self.drafts == self.targets[:, None])
        return is_target.argmax(1), is_target.any(1)

    def _scores_of_drafts(self, exist: np.ndarray, seen: np.ndarray) -> Measured:
        of_seen = exist & seen[self.drafts]  # -1 finds an item, too, but does not exist
        of_unseen = exist & ~seen[self.drafts]
        found: Mapping[str, np.ndarray] = {"seen": of_seen, "unseen": of_unseen}
        scores = {f"{name}_draft_score": float(self.likelihoods[of].mean()) for name, of in found.items() if of.any()}
        return {"draft_unseen_share": float(of_unseen.sum() / max(exist.sum(), 1)), **scores}


def first_round(trial: Trial, drafts: int, rows: int | None = None) -> FirstRound:
    """The first drafts of the rows of a trial's phase.

    Args:
        drafts: for each row.
        rows: the first so many; None: all.
    """
    size = trial.trainer.config["eval_batch_size"]
    found: list[tuple[np.ndarray, ...]] = []
    for batch in trial.batches(size, rows):
        left_out = trial.ranker.left_out(batch)
        scored = draft_and_score(trial.model, batch, trial.candidates, drafts, left_out)
        parts = (*scored, batch[trial.view.iid_field])
        found.append(tuple(part.cpu().numpy() for part in parts))
    return FirstRound(*(np.concatenate(part) for part in zip(*found, strict=True)))


@torch.no_grad()
def draft_and_score(
    model: SpeculativeRecommender,
    interaction: Interaction,
    candidates: Tensor,
    drafts: int,
    left_out: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """What a model drafts first and the verifier's likelihoods of it, `drafts` and `likelihoods` of `FirstRound`.

    Args:
        left_out: what is not drafted for each user `[B, S]`, 0 in places that are empty; None: nothing.

    Raises:
        ValueError: a score of the drafter or of the verifier is NaN.
    """
    verifier, users = model.verifier, model.encode_users(interaction)
    settings = replace(model.draft_verify_settings, draft_size=drafts, unseen_bonus=0.0)
    verification = verifier.verification(users.memory, candidates, settings.for_verification(drafts))
    nearest, scores = model.draftable(users, candidates)
    pool = draft_pool(nearest, scores, left_out, verifier.candidate_items(candidates), verifier.seen, settings)
    items = draft(pool, verification, settings)
    likelihoods = verification.log_likelihood(items, -torch.inf)
    check_draft_scores(pool.is_nan)
    check_probabilities(verification.is_nan)
    return items, likelihoods
