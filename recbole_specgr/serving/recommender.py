"""A finished run in use: lists for any histories, and items that come and go."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender

from recbole_specgr.building.finished import build_finished
from recbole_specgr.data.ids import read_ids, written_otherwise
from recbole_specgr.evaluation.ranking import EMPTY
from recbole_specgr.items.catalogue import Catalogue
from recbole_specgr.models.item_tables import caches, copy_for_use, restore_caches
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.runs.checkpoint import load_checkpoint, restore_model
from recbole_specgr.runs.folder import checkpoint_of, read_config
from recbole_specgr.serving.changes import CHANGES, Changes
from recbole_specgr.serving.explain import Explanation, explain
from recbole_specgr.serving.new_items import check_takes_items, item_tokens, parts_of, read_items
from recbole_specgr.serving.recommendations import NOT_SPECULATED, Recommendations
from recbole_specgr.serving.request import (
    allowed_items,
    as_arrays,
    as_histories,
    as_times,
    check_arguments,
    excluded_by_user,
    named,
    padded,
    places_to_spare,
    read_once,
    set_decoding,
    warn_of_short,
)
from recbole_specgr.serving.state import State
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError, did_you_mean
from recbole_specgr.system.files import locked

PRECISIONS = {"fp64": torch.float64, "fp32": torch.float32}
History = Sequence[object]


class Recommender:
    """A trained model and its catalogue. Several threads may call `recommend` and `explain` at once, also while one
    changes the items: each call sees the catalogue as it is when it begins.

    Use `Recommender.load`.
    """

    def __init__(self, run: Path, config: Config, state: State) -> None:
        self.run, self.config = run, config
        self._state = state
        self._changing, self._warming = threading.Lock(), threading.Lock()
        self._warm: SequentialRecommender | None = None
        self._written: str | None = None  # digest of the changes that the run's folder held last
        self._time_field = config["TIME_FIELD"] + config["LIST_SUFFIX"]
        self._told_of_times = False

    @classmethod
    def load(
        cls,
        run: str | Path,
        device: str | None = None,
        precision: str | None = None,
        config_dict: Mapping[str, Any] | None = None,
    ) -> Recommender:
        """Load a finished run, with the items that were added to it. The interactions it learned from are needed by
        models that read them and by runs without `items.npz`; others do without.

        Args:
            run: its folder.
            device: `cpu`, `cuda` or `cuda:N`; None takes the run's settings.
            precision: `fp64`, in which a list does not depend on what else is in its batch, or `fp32`, which is faster,
                but two items whose scores agree to six digits may change places from one batch to another. None takes
                fp64, or fp32 for a model that can't compute in fp64 (a few of RecBole's).
            config_dict: settings over the run's own, such as `data_path`.

        Raises:
            FileNotFoundError: the folder is no run, or the run has no checkpoint.
            UserError: the run is of another version, or a file of it is damaged.
        """
        run = Path(run)
        if precision not in (None, *PRECISIONS):
            raise UserError(f"precision [{precision}] must be one of {', '.join(PRECISIONS)}.")
        config = read_config(run, {**_device(device), "show_progress": False, **(config_dict or {})})
        file = checkpoint_of(run, config)
        checkpoint = load_checkpoint(file, config["device"])
        catalogue, model = build_finished(config)
        model.to(config["device"])
        restore_model(model, checkpoint, file)
        model.eval()
        to = {"device": config["device"]}
        restore_caches(model, {name: torch.from_numpy(cache).to(**to) for name, cache in catalogue.caches.items()})
        state = State(catalogue, model, parts_of(model, config, catalogue), Changes.none(catalogue))
        written = _digest_of(run / CHANGES)
        changes = None if written is None else Changes.load(run / CHANGES, state.changes)
        for name in [precision] if precision else PRECISIONS:
            _compute_in(model, PRECISIONS[name])
            recommender = cls(run, config, state if changes is None else state.restored(changes))
            recommender._written = written
            if precision or name == "fp32" or recommender._can_rank():
                break
        return recommender

    # -- what is there -------------------------------------------------------------------------------------------------

    @property
    def catalogue(self) -> Catalogue:
        """All items, those that were added among them."""
        return self._state.catalogue

    @property
    def model(self) -> SequentialRecommender:
        """The model, in evaluation mode. It is shared: change nothing in it."""
        return self._state.model

    @property
    def decoding(self) -> dict[str, Any]:
        """The settings that `recommend` takes for one call, with the values they have otherwise."""
        return dict(self._state.model.decoding)

    def __repr__(self) -> str:
        listed = int(self._state.allowed.sum())
        return f"Recommender({self.config['model']}, {listed:,} items to recommend, from {self.run})"

    # -- lists ---------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def recommend(
        self,
        histories: Sequence[History],
        k: int = 50,
        candidates: Iterable[object] | None = None,
        exclude: str | Iterable[object] | Sequence[Iterable[object]] | None = None,
        *,
        times: Sequence[Sequence[object]] | None = None,
        on_unknown: str = "drop",
        batch_size: int | None = None,
        **decoding: Any,
    ) -> Recommendations:
        """The k best items after each history.

        Args:
            histories: item tokens, the latest last; only the last `MAX_ITEM_LIST_LENGTH` known ones count.
            k: length of the lists. Where fewer items may be recommended, or the model's search finds fewer, they are
                shorter, and a warning says why.
            candidates: what may be recommended; None: every item that the run's test ranks, and those added since.
            exclude: what may not: item tokens for all, one collection of them for each history, or "history" for what
                the history itself holds.
            times: when the user had each item of each history, whole numbers in the unit of the run's data. Models that
                read times (HSTU) rank as in the run's evaluation only with them; a warning says where they are missed.
            on_unknown: what to do about an item token that there is none of in a history or among the candidates:
                `drop` it (`Recommendations.unknown` counts those of the histories), or `error`.
            batch_size: users a batch; None takes the run's `eval_batch_size`.
            **decoding: settings of the model's inference for this call, such as draft_size, num_beams and threshold
                of SpecGR; `Recommender.decoding` shows them.

        Raises:
            UserError: an argument that can't be, an entry that is no id, an unknown item where `on_unknown` is `error`,
                or a model that reads who the user is.
        """
        state = self._state
        batch_size = self.config["eval_batch_size"] if batch_size is None else batch_size
        check_arguments(k, on_unknown, batch_size)
        histories = as_histories(histories)
        exclude = read_once(exclude)
        per_user = excluded_by_user(exclude, histories, state.row_of)
        allowed = allowed_items(state, candidates, None if per_user is not None else exclude, on_unknown)
        if (had := self._had(state, histories)) is not None:
            per_user = had if per_user is None else [[*one, *other] for one, other in zip(per_user, had)]
        seconds = self._times(state, times, histories)
        items, seconds, unknown = self._rows(state, histories, seconds, on_unknown)
        model = self._ready(state)
        set_decoding(model, decoding, self.config)
        ranker = self._ranker(state, model)

        lengths, spare = np.array([len(rows) for rows in items], dtype=int), places_to_spare(per_user, len(items))
        listed = (lengths > 0) | (not model.reads_histories)
        n_allowed = int(allowed.sum())
        shape = len(histories), min(k, n_allowed)
        ranked, scores, rounds = np.full(shape, EMPTY), np.full(shape, np.nan), np.full(shape, NOT_SPECULATED)
        for users in _batches(listed, lengths, spare, batch_size):
            at = None if seconds is None else [seconds[user] for user in users]
            interaction = self.interaction(state, [items[user] for user in users], at)
            left_out = None
            if per_user is not None and spare[users[0]]:
                left_out = padded([per_user[user] for user in users], spare[users[0]]).to(self.config["device"])
            found = ranker.rank(interaction, shape[1], allowed, left_out)
            ranked[users], scores[users], rounds[users] = as_arrays(found)

        empty = tuple(np.flatnonzero(~listed).tolist())
        if empty:
            getLogger().warning(f"{len(empty)} of {len(histories)} histories hold no known item: their lists are empty")
        tokens = state.catalogue.item_tokens[ranked]
        lists = [row[: (found != EMPTY).sum()].tolist() for row, found in zip(tokens, ranked)]
        warn_of_short([len(items) for items in lists], k, n_allowed, model.decoding)
        return Recommendations(lists, scores, rounds, unknown, empty)

    def explain(
        self, history: History, item: object, k: int = 50, *, times: Sequence[object] | None = None, **decoding: Any
    ) -> Explanation:
        """Why `item` stands in the list of k after `history`, or why not, under settings as `recommend` takes them.

        Args:
            times: when the user had each item of the history, as `recommend` takes them.

        Raises:
            UserError: an item that is not known, or a history of which nothing is, where the model reads it.
        """
        state = self._state
        check_arguments(k, "drop", 1)
        histories = as_histories([history])
        seconds = self._times(state, None if times is None else [times], histories)
        rows, seconds, _ = self._rows(state, histories, seconds, "drop")
        if not rows[0] and state.model.reads_histories:
            raise UserError("The history holds no item that the run knows: there is nothing to explain.")
        model = self._ready(state)
        set_decoding(model, decoding, self.config)
        ranker, interaction = self._ranker(state, model), self.interaction(state, rows, seconds)
        k, had = min(k, int(state.allowed.sum())), self._had(state, histories)
        left_out = None if had is None else padded(had, len(had[0])).to(self.config["device"])
        return explain(state, ranker, interaction, read_ids([item], "item")[0], k, left_out)

    def _times(self, state: State, times: object, histories: list[list[str]]) -> list[np.ndarray] | None:
        """What `as_times` makes of the times. A warning says once where a model that reads them is given none."""
        if times is None and self._time_field in state.model.history_columns and not self._told_of_times:
            self._told_of_times = True
            getLogger().warning(
                f"{self.config['model']} reads when the items of a history were used, but is given no times: its "
                f"lists may not be those that it was evaluated by. Give times=, or a column [times] in the file."
            )
        return as_times(times, histories, state.catalogue.time_unit)

    def _rows(
        self, state: State, histories: list[list[str]], times: list[np.ndarray] | None, on_unknown: str
    ) -> tuple[list[list[int]], list[np.ndarray] | None, int]:
        """The rows of the known items of each history, cut to what the model reads, and their times; how many entries
        are unknown."""
        longest, found, unknown = self.config["MAX_ITEM_LIST_LENGTH"], [], 0
        at: list[np.ndarray] = []
        for number, history in enumerate(histories):
            rows = [state.row_of.get(token) for token in history]
            known = [row for row in rows if row is not None]
            if on_unknown == "error" and len(known) < len(rows):
                missing = [token for token, row in zip(history, rows) if row is None]
                raise UserError(
                    f"History {number} holds items that the run does not know: {named(missing[:5])}."
                    f"{did_you_mean(missing[0], state.row_of)} Add them with add_items, or let them be dropped "
                    f"(on_unknown: drop)."
                )
            if on_unknown == "error" and not rows and state.model.reads_histories:
                raise UserError(f"History {number} is empty: there is nothing to recommend from.")
            unknown += len(rows) - len(known)
            found.append(known[-longest:])
            if times is not None:
                at.append(times[number][[row is not None for row in rows]][-longest:])
        return found, None if times is None else at, unknown

    def interaction(self, state: State, items: list[list[int]], times: list[np.ndarray] | None = None) -> Interaction:
        """The batch that a model reads for histories of rows; `times` are theirs in seconds, where they are known.

        It does not say whose the histories are: nobody knows.
        """
        config, device = self.config, self.config["device"]
        lengths = np.array([len(rows) for rows in items])
        histories = np.zeros((len(items), config["MAX_ITEM_LIST_LENGTH"]), dtype=np.int64)
        inside = np.arange(histories.shape[1]) < lengths[:, None]
        histories[inside] = np.concatenate(items)
        length, table = torch.from_numpy(lengths), torch.from_numpy(histories)
        item_field = config["ITEM_ID_FIELD"]
        fields = {
            item_field + config["LIST_SUFFIX"]: table,
            config["ITEM_LIST_LENGTH_FIELD"]: length,
        }
        if times is not None:
            seconds = np.zeros_like(histories)
            seconds[inside] = np.concatenate(times)
            fields[self._time_field] = torch.from_numpy(seconds)
        return Interaction(fields).to(device)

    def _ranker(self, state: State, model: SequentialRecommender) -> Ranker:
        seen = state.catalogue.seen.to(self.config["device"])
        return Ranker(model, seen, self.config["unseen_history"])

    def _had(self, state: State, histories: list[list[str]]) -> list[list[int]] | None:
        """The rows that the run's rule leaves out of each history's list; None: nothing."""
        return None if self.config["repeatable"] else excluded_by_user("history", histories, state.row_of)

    def _ready(self, state: State) -> SequentialRecommender:
        """A copy of the model for one call. What takes long to compute was computed once, for all calls.

        Raises:
            UserError: the model reads who the user is.
        """
        with self._warming:
            if self._warm is not state.model:
                first = next(iter(state.row_of.values()))
                ranker = self._ranker(state, state.model)
                try:
                    ranker.rank(self.interaction(state, [[first]]), 1, state.allowed)
                except KeyError as error:
                    if error.args != (self.config["USER_ID_FIELD"],):
                        raise
                    raise UserError(
                        f"{self.config['model']} can't recommend by a history: it also reads who the user is, and has "
                        f"learned a vector for each user of its data set. Take a model that reads histories alone, "
                        f"such as SASRec."
                    ) from error
                self._warm = state.model
        return copy_for_use(state.model)

    def _can_rank(self) -> bool:
        """Whether the model computes in its precision; some make tensors of their own in another."""
        if not bool(self._state.allowed.any()):  # every item was removed
            return True
        try:
            self._ready(self._state)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            getLogger().warning(f"{self.config['model']} can't compute in fp64 ({reason}); it does in fp32.")
            return False
        except UserError:
            return True  # `recommend` says why it has no lists; all else that is done with a run is possible
        return True

    # -- items that come and go ----------------------------------------------------------------------------------------

    def add_items(self, frame: pd.DataFrame, features: np.ndarray | None = None) -> int:
        """Make new items known and let them be recommended at once, without training. Nothing that is there changes:
        no id, no vector. `save` keeps them.

        An item that the run has but does not recommend (nobody used it in its data, or `remove_items` took it from the
        lists) is recommended from now on, as the run knows it.

        Args:
            frame: a row an item: the column of the item ids (`item_id`) and the run's `text_fields`. Names of columns
                may carry RecBole's types, as in `title:token_seq`. Whatever `pandas.DataFrame` takes will do.
            features: the items' text vectors `[n, d]`, as the run's text encoder gives them; the texts are then not
                needed.

        Returns:
            The number of items that can be recommended more than before.

        Raises:
            UserError: a transductive model; a missing column; an item that is there already; text in another encoder's
                space; no semantic id left. Nothing has changed then.
        """
        frame = pd.DataFrame(frame).rename(columns=lambda name: str(name).partition(":")[0])
        with self._changing:
            state = self._state
            check_takes_items(state.parts)
            frame, vectors, back = _without_known(frame, features, state)
            if len(frame):
                state = state.with_items(read_items(frame, state.catalogue, state.parts, vectors))
            self._state = state.listed_again(back)
        return len(frame) + len(back)

    def remove_items(self, tokens: Iterable[object]) -> int:
        """Recommend these items no more. An item that was added is forgotten, its semantic id becomes free; one that
        the model was trained with stays known in histories. `save` keeps it so.

        Returns:
            The number of items removed.

        Raises:
            UserError: an item that is not there, or was removed before. Nothing has changed then.
        """
        names = read_ids([tokens] if isinstance(tokens, str) else tokens, "items to remove, entry")
        with self._changing:
            state = self._state
            rows = [state.row_of.get(name) for name in names]
            gone = [name for name, row in zip(names, rows) if row is None or not state.catalogue.candidates[row]]
            if gone:
                raise UserError(
                    f"{len(gone)} of the items to remove can't be recommended anyway, such as {named(gone[:3])}."
                    f"{did_you_mean(gone[0], state.row_of)}"
                )
            self._state = state.without_items([row for row in rows if row is not None])
        return len(set(names))

    def save(self) -> Path:
        """Write the items added and removed into the run's folder, from where `load` takes them; returns the file.

        Raises:
            UserError: somebody else has written other changes there since this was loaded, or is writing them.
        """
        file = self.run / CHANGES
        with self._changing, open(self.run / f".{CHANGES}.lock", "w") as lock:
            if not locked(lock):
                raise UserError(f"{file} is being written by another process. Try again when it has ended.")
            if _digest_of(file) != self._written:
                raise UserError(
                    f"{file} was changed by another process since this run was loaded, so to write it would lose these "
                    f"changes. Load the run again, and change its items then."
                )
            self._state.changes.save(file, caches(self._state.model))
            self._written = _digest_of(file)
        return file


# -- loading -----------------------------------------------------------------------------------------------------------


def _digest_of(file: Path) -> str | None:
    """sha256 of a file; None where there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def _compute_in(model: SequentialRecommender, precision: torch.dtype) -> None:
    model.to(precision)
    restore_caches(model, {name: cache.to(precision) for name, cache in caches(model).items()})


def _batches(listed: np.ndarray, lengths: np.ndarray, spare: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """The users that get a list, at most `size` at a time, those of similar lengths together and those of unequal
    `spare` never."""
    order = np.lexsort((lengths, spare))
    order = order[listed[order]]
    for group in np.split(order, np.flatnonzero(np.diff(spare[order])) + 1):
        for start in range(0, len(group), size):
            yield group[start : start + size]


def _without_known(
    frame: pd.DataFrame, features: np.ndarray | None, state: State
) -> tuple[pd.DataFrame, np.ndarray | None, list[int]]:
    """The items that are really new, and the rows of those that only have to be listed again."""
    tokens = item_tokens(frame, state.catalogue.item_field)
    rows = [state.row_of.get(token) for token in tokens]
    there = [token for token, row in zip(tokens, rows) if row is not None and state.catalogue.candidates[row]]
    if there:
        raise UserError(
            f"{len(there)} of the {len(tokens)} new items are in the catalogue already, such as "
            f"{', '.join(there[:3])}. Leave them out; to change an item that was added, remove it first."
        )
    new = np.array([row is None for row in rows])
    if twice := written_otherwise((token for token, row in zip(tokens, rows) if row is None), state.row_of):
        raise UserError(
            f"{len(twice)} of the new items seem to be in the catalogue already in another writing, with or without "
            f".0, such as {twice[0]}. Write them as they are written there, or rename them."
        )
    if features is not None:
        features = np.asarray(features)
        if len(features) != len(tokens):
            raise UserError(f"There are {len(tokens)} new items, but {len(features)} vectors of them.")
        features = features[new]
    return frame[new], features, [row for row in rows if row is not None]


def _device(device: str | None) -> dict[str, Any]:
    """The settings that stand for a device."""
    if device is None:
        return {}
    kind, _, number = str(device).partition(":")
    if kind not in ("cpu", "cuda"):
        raise UserError(f"device [{device}] must be cpu, cuda or cuda:N.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device [{device}]: torch finds no CUDA GPU on this machine.")
    return {"use_gpu": kind == "cuda", "gpu_id": number}
