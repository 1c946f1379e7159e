"""The arguments of one call of `Recommender.recommend`: checked, and turned into what the model takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from logging import getLogger
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from recbole_specgr.errors import UserError, did_you_mean
from recbole_specgr.evaluation.ranking import EMPTY
from recbole_specgr.models.ranked_list import RankedList
from recbole_specgr.serving.recommendations import NOT_SPECULATED
from recbole_specgr.serving.state import State

SHORT = {"threshold": "accept_threshold"}  # what a call says -> the setting


def set_decoding(model: nn.Module, given: Mapping[str, Any], name: str) -> None:
    """Put settings of inference into `model`. Raises UserError for one that it does not have."""
    own = getattr(model, "decoding", {})
    for key, value in given.items():
        key = SHORT.get(key, key)
        if key not in own:
            raise UserError(
                f"[{key}] is no setting of {name}'s inference; it has {', '.join(own) or 'none'}."
                f"{did_you_mean(key, own)}"
            )
        own[key] = value


def check_arguments(histories: object, k: int, on_unknown: str, batch_size: int) -> None:
    if isinstance(histories, str) or any(isinstance(history, str) for history in histories):
        raise UserError("histories must be a list of histories, each a list of item tokens, not a text.")
    if isinstance(histories, Mapping):
        raise UserError("histories must be a list of histories; of a mapping take its values().")
    if on_unknown not in ("drop", "error"):
        raise UserError(f"on_unknown [{on_unknown}] must be drop or error.")
    for name, value in (("k", k), ("batch_size", batch_size)):
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise UserError(f"{name} [{value}] must be a whole number from 1.")


def as_history(history: object) -> list[object]:
    if not isinstance(history, Iterable):
        raise UserError(f"histories must be a list of histories, each a list of item tokens; [{history}] is none.")
    return list(history)


def excluded_by_user(exclude: Any, histories: list[list[object]]) -> list[set[str]] | None:
    """The tokens that each history's list must not hold; None where `exclude` says the same for all."""
    if exclude is None:
        return None
    if isinstance(exclude, str):
        if exclude != "history":
            raise UserError(f'exclude [{exclude}] must be "history", item tokens, or a list of them for each history.')
        return [{str(token) for token in history} for history in histories]
    exclude = list(exclude)
    if all(isinstance(token, (str, int, np.integer)) for token in exclude):
        return None
    if len(exclude) != len(histories):
        raise UserError(f"exclude names items for {len(exclude)} histories, but there are {len(histories)}.")
    return [{str(token) for token in tokens} for tokens in exclude]


def allowed_items(state: State, candidates: Iterable[object] | None, exclude: Any, on_unknown: str) -> Tensor:
    """What may be recommended to everyone, BoolTensor [n_items]. Raises UserError where that is nothing."""
    allowed = state.allowed
    if candidates is not None:
        if isinstance(candidates, str):
            raise UserError("candidates must be item tokens, not a text.")
        names = [str(token) for token in candidates]
        rows = [state.row_of[name] for name in names if name in state.row_of]
        unknown = [name for name in names if name not in state.row_of]
        if unknown and (on_unknown == "error" or not rows):
            raise UserError(
                f"{len(unknown)} of {len(names)} candidates are items that the run does not know, such as "
                f"{', '.join(unknown[:3])}.{did_you_mean(unknown[0], state.row_of)} Add them with add_items."
            )
        if unknown:
            getLogger().warning(f"{len(unknown)} of {len(names)} candidates are unknown, such as {unknown[0]}.")
        listed = torch.zeros_like(allowed)
        listed[rows] = True
        allowed = allowed & listed
    if exclude is not None:
        allowed = allowed.clone()
        allowed[[state.row_of[str(token)] for token in exclude if str(token) in state.row_of]] = False
    if not bool(allowed.any()):
        raise UserError(
            "There is nothing to recommend: the candidates are none, or all of them are excluded, removed, or unseen "
            "items that the model can't rank."
        )
    return allowed


def cut_lists(
    found: RankedList, k: int, excluded: list[set[str]] | None, row_of: dict[str, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items, scores and rounds [B, k] of lists that may be longer, without what is excluded for each user."""
    items, scores = found.items.cpu().numpy(), found.scores.double().cpu().numpy()
    rounds = np.full_like(items, NOT_SPECULATED) if found.round_of is None else found.round_of.cpu().numpy() + 1
    rounds = np.where(items == EMPTY, NOT_SPECULATED, rounds)
    scores = np.where(items == EMPTY, np.nan, scores)
    if excluded is None:
        return items[:, :k], scores[:, :k], rounds[:, :k]
    cut = np.full((len(items), k), EMPTY), np.full((len(items), k), np.nan), np.full((len(items), k), NOT_SPECULATED)
    for user, tokens in enumerate(excluded):
        rows = [row_of[token] for token in tokens if token in row_of]
        stay = np.flatnonzero((items[user] != EMPTY) & ~np.isin(items[user], rows))[:k]
        for into, values in zip(cut, (items, scores, rounds)):
            into[user, : len(stay)] = values[user, stay]
    return cut
