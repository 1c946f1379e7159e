"""The arguments of one call of `Recommender.recommend`: checked, and turned into what the model takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from logging import getLogger
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor

from recbole_specgr.data.ids import read_ids
from recbole_specgr.data.times import EXACT_IN_FLOAT64, TIME_UNITS, in_seconds, readable_time, time_unit
from recbole_specgr.evaluation.ranking import EMPTY, comparable
from recbole_specgr.models.contract import RankedList
from recbole_specgr.serving.recommendations import NOT_SPECULATED
from recbole_specgr.serving.state import State
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.schema import allows, as_meant
from recbole_specgr.settings.sentences import expectation, why_not
from recbole_specgr.settings.yaml_values import plain
from recbole_specgr.system.errors import UserError, did_you_mean

SHORT = {"threshold": "accept_threshold"}  # what a call says -> the setting


def set_decoding(model: SequentialRecommender, given: Mapping[str, Any], config: Config) -> None:
    """Put settings of inference into `model`; None leaves one as it is.

    Args:
        config: of the run, which knows what each may be.

    Raises:
        UserError: one that the model does not have, or a value that it can't be.
    """
    own, changed = model.decoding, {}
    for short, value in given.items():
        key = SHORT.get(short, short)
        if key not in own:
            raise UserError(
                f"[{short}] is no setting of {config['model']}'s inference; it has {', '.join(own) or 'none'}."
                f"{did_you_mean(short, own)}"
            )
        if value is not None:
            changed[key] = _checked(short, plain(value), config.type_of(key))
    model.change_decoding(changed)


def _checked(name: str, value: Any, declared: dict[str, Any]) -> Any:
    """`value`, if it is of the type and in the range that a JSON Schema declares."""
    meant = as_meant(value, declared)
    if not allows(declared, meant):
        raise UserError(f"{name} [{value}] must be {expectation(declared)}{why_not(value, declared)}.")
    return meant


def _check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise UserError(f"{name} [{value}] must be a whole number from 1.")


def check_arguments(k: int, on_unknown: str, batch_size: int) -> None:
    """Raise UserError for one that can't be."""
    if on_unknown not in ("drop", "error"):
        raise UserError(f"on_unknown [{on_unknown}] must be drop or error.")
    _check_count("k", k)
    _check_count("batch_size", batch_size)


def as_histories(histories: object) -> list[list[str]]:
    """The histories as lists of ids, "" where an entry is none. Raises UserError for what is no list of lists, or for
    an entry that can't be an id."""
    if isinstance(histories, Mapping):
        raise UserError("histories must be a list of histories; of a mapping take its values().")
    one = "histories must be a list of histories, each a list of item tokens"
    if isinstance(histories, str) or not isinstance(histories, Iterable):
        raise UserError(f"{one}; [{histories}] is none.")
    lists = []
    for number, history in enumerate(histories):
        if isinstance(history, str) or not isinstance(history, Iterable):
            raise UserError(f"{one}, but [{history}] in it is a single item. Of one history make [history].")
        lists.append(read_ids(history, f"History {number}, entry"))
    return lists


def as_times(times: object, histories: list[list[str]], unit: str | None) -> list[np.ndarray] | None:
    """When the interactions of each history were, in whole seconds, int64 arrays as long as the histories; None where
    no times are given. A warning says so where they look as if they were in a coarser unit than the data's.

    Args:
        unit: of the data's times, "s", "ms" or "us". Times that are too large for it are in a finer one. None where it
            is not known: then the size of the times decides alone.

    Raises:
        UserError: not a time for each item, or one that is no whole number.
    """
    if times is None:
        return None
    if isinstance(times, (str, Mapping)) or not isinstance(times, Iterable):
        raise UserError(f"times must be a list for each history, of a time for each of its items; [{times}] is none.")
    lists: list[list[object]] = []
    for number, one in enumerate(times):
        if isinstance(one, str) or not isinstance(one, Iterable):
            raise UserError(f"times must be a list for each history, but of history {number} they are [{one}].")
        lists.append(list(one))
    if len(lists) != len(histories):
        raise UserError(f"There are times of {len(lists)} histories, but {len(histories)} histories.")
    for number, (own, history) in enumerate(zip(lists, histories)):
        if len(own) != len(history):
            raise UserError(f"History {number} has {len(history)} items, but {len(own)} times: give one for each item.")
    flat = [time for own in lists for time in own]
    values = pd.to_numeric(pd.Series(flat, dtype=object), errors="coerce").to_numpy()
    as_float = values.astype(float)
    wrong = ~np.isfinite(as_float) | (values != np.floor(as_float)) | (np.abs(as_float) > EXACT_IN_FLOAT64)
    if wrong.any():
        raise UserError(
            f"A time must be a whole number in the unit of the run's data (seconds, milliseconds or microseconds), but "
            f"[{flat[int(np.flatnonzero(wrong)[0])]}] is none."
        )
    whole = values.astype(np.int64)
    by_size = time_unit(whole)
    if unit is None or TIME_UNITS[by_size] > TIME_UNITS[unit]:
        unit = by_size  # as times of the coarser unit they would lie thousands of years ahead
    elif by_size != unit and len(whole):
        largest = int(whole[np.abs(whole).argmax()])
        getLogger().warning(
            f"The times of this request are read in [{unit}], the unit of the run's data, but look as if they were in "
            f"[{by_size}]: the largest is {readable_time(largest, unit)}."
        )
    seconds = in_seconds(whole, unit)
    return np.split(seconds, np.cumsum([len(own) for own in lists])[:-1]) if lists else []


def read_once(exclude: Any) -> Any:
    """`exclude` as something that may be read again and again: an iterator is used up by whoever reads it first."""
    return list(exclude) if isinstance(exclude, Iterable) and not isinstance(exclude, str) else exclude


def excluded_by_user(exclude: Any, histories: list[list[str]], row_of: Mapping[str, int]) -> list[list[int]] | None:
    """The rows of the items that each history's list must not hold; None where `exclude` says the same for all."""
    if exclude is None:
        return None
    if isinstance(exclude, str):
        if exclude != "history":
            raise UserError(f'exclude [{exclude}] must be "history", item tokens, or a list of them for each history.')
        exclude = histories
    else:
        tokens = [isinstance(entry, str | bytes) or not isinstance(entry, Iterable) for entry in exclude]
        if all(tokens):
            return None
        if any(tokens):
            raise UserError("exclude must be item tokens, or a list of them for each history, not a mixture of both.")
        if len(exclude) != len(histories):
            raise UserError(f"exclude names items for {len(exclude)} histories, but there are {len(histories)}.")
    lists = (read_ids(tokens, f"exclude, list {number}, entry") for number, tokens in enumerate(exclude))
    return [[row_of[name] for name in set(names) if name in row_of] for names in lists]


def places_to_spare(excluded: list[list[int]] | None, users: int) -> np.ndarray:
    """How many places there are for what a user's list leaves out, int [users].

    A power of two, so that few lengths occur; a function of the user alone, so that no list depends on its batch.
    """
    counts = np.array([len(rows) for rows in excluded], dtype=int) if excluded is not None else np.zeros(users, int)
    return np.where(counts, 2 ** np.ceil(np.log2(np.maximum(counts, 1))).astype(int), 0)


def allowed_items(state: State, candidates: Iterable[object] | None, exclude: Any, on_unknown: str) -> Tensor:
    """What may be recommended to everyone, BoolTensor [n_items]. Raises UserError where that is nothing."""
    allowed = state.allowed
    if candidates is not None:
        if isinstance(candidates, Mapping) or not isinstance(candidates, Iterable):
            raise UserError(f"candidates must be item tokens, not [{candidates}].")
        if isinstance(candidates, str):
            raise UserError("candidates must be item tokens, not a text.")
        names = read_ids(candidates, "candidates, entry")
        rows = [state.row_of[name] for name in names if name in state.row_of]
        unknown = [name for name in names if name not in state.row_of]
        if unknown and (on_unknown == "error" or not rows):
            raise UserError(
                f"{len(unknown)} of {len(names)} candidates are items that the run does not know, such as "
                f"{named(unknown[:3])}.{did_you_mean(unknown[0], state.row_of)} Add them with add_items."
            )
        if unknown:
            getLogger().warning(f"{len(unknown)} of {len(names)} candidates are unknown, such as {named(unknown[:1])}.")
        listed = torch.zeros_like(allowed)
        listed[rows] = True
        allowed = allowed & listed
    if exclude is not None:
        allowed = allowed.clone()
        names = read_ids(exclude, "exclude, entry")
        allowed[[state.row_of[name] for name in names if name in state.row_of]] = False
    if not bool(allowed.any()):
        raise UserError(
            "There is nothing to recommend: the candidates are none, or all of them are excluded, removed, or unseen "
            "items that the model can't rank."
        )
    return allowed


def named(tokens: Iterable[str]) -> str:
    """Ids for a message."""
    return ", ".join(token or "an empty entry" for token in tokens)


def warn_of_short(lengths: Sequence[int], k: int, allowed: int, decoding: Mapping[str, Any]) -> None:
    """Say why lists are shorter than asked.

    Args:
        lengths: items that each list has; 0 for a history without a known item, of which another warning tells.
        k: how many were asked for.
        allowed: how many items may be recommended to everyone.
        decoding: the model's settings of inference.
    """
    short = [length for length in lengths if 0 < length < k]
    if not short:
        return
    said = f"{len(short)} of {len(lengths)} lists hold fewer than k [{k}] items, the shortest {min(short)}"
    if max(short) == allowed:
        said += f": no more than {allowed} may be recommended. A smaller k asks for no more than there is."
    elif decoding:
        said += (
            f", although {allowed} may be recommended: the model's search found no more that are not excluded. Its "
            f"settings are {', '.join(f'{name} [{value}]' for name, value in decoding.items())}; a wider search finds "
            f"more."
        )
    else:
        said += f": of the {allowed} that may be recommended no more are left that are not excluded."
    getLogger().warning(said)


def padded(lists: list[list[int]], width: int) -> Tensor:
    """Rows of items as LongTensor `[len(lists), width]`, 0 behind each."""
    table = torch.zeros(len(lists), int(width), dtype=torch.long)
    for row, items in zip(table, lists):
        row[: len(items)] = torch.tensor(items, dtype=torch.long)
    return table


def as_arrays(found: RankedList) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Items, scores and rounds `[B, k]` of lists, rounds from 1."""
    items, scores = found.items.cpu().numpy(), comparable(found.scores).double().cpu().numpy()
    rounds = np.full_like(items, NOT_SPECULATED) if found.round_of is None else found.round_of.cpu().numpy() + 1
    empty = items == EMPTY
    return items, np.where(empty, np.nan, scores), np.where(empty, NOT_SPECULATED, rounds)
