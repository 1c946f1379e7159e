"""RecBole's sequential data set, split as a setting says, with histories that are never materialised.

A row is an interaction that has an earlier one by the same user: the *target*. Its history is everything the user did
before it, over phases, cut to the last `MAX_ITEM_LIST_LENGTH`. All interactions lie in one array sorted by (user,
time, line of the file), so a history is two numbers, where the user starts and where the target stands.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from logging import getLogger
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType
from scipy.sparse import spmatrix

from recbole_specgr.data.earlier_items import earlier_field, earlier_items
from recbole_specgr.data.ids import check_ids
from recbole_specgr.data.loading import NO_FILTER, LoadedDataset
from recbole_specgr.data.loading_cache import LoadingCache
from recbole_specgr.data.splits.contract import PHASES, Interactions
from recbole_specgr.data.times import in_seconds
from recbole_specgr.settings.named_classes import split_class
from recbole_specgr.settings.presets import DataSize
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.processes import first_rank_first

#: RecBole's settings that decide which interactions there are.
FILTERS = (
    "val_interval",
    "filter_inter_by_user_or_item",
    "user_inter_num_interval",
    "item_inter_num_interval",
)
RULES = {"ties": "line of the interaction file", "repeats": "first of every (user, item)"}
LISTED = PHASES[1:]  # phases whose users get lists
Index = int | slice | list | np.ndarray | torch.Tensor


class InductiveDataset(LoadedDataset):
    """Sequences in three phases, and what each phase may rank.

    The data set and the three views that `build` returns share all arrays and have

    ==============  ===============================  ======================================================
    `phase`         "train" | "valid" | "test"       None on the whole data set
    `split`         Split                            which phase each interaction is in
    `seen`          BoolTensor [n_items]             the item occurs in train (the padding item never)
    `candidates`    BoolTensor [n_items]             what the phase ranks
    `first_seen`    LongTensor [n_items]             when the item first exists, largest int64 if never
    `repeats`       bool                             users came back to items; only the first time is kept
    `fingerprint`   str                              sha256 of the interactions (tokens, times, order)
    `protocol`      dict                             plain data: everything that two results must share to compare
    ==============  ===============================  ======================================================
    """

    phase: str | None = None

    # ---- loading ---------------------------------------------------------------------------------------------------

    def _from_scratch(self) -> None:
        """From the files, or from what the cache keeps of them. With several processes the first one fills the cache,
        and all of them read the same pages of memory."""
        cache = LoadingCache.of(self.config)
        if cache is None:
            super()._from_scratch()
            return
        with first_rank_first():
            kept = cache.read()
            if kept is None:
                super()._from_scratch()
                self._to_tensors()
                cache.write(self)
                kept = cache.read()  # in place of this process' own copy
        if kept is not None:
            self._get_preset()
            self._get_field_from_config()
            kept.restore(self)
            self._mark()

    def _data_processing(self) -> None:
        super()._data_processing()
        self._split()

    # ---- the split -------------------------------------------------------------------------------------------------

    def _split(self) -> None:
        """Sorts, splits, and marks the items; all before RecBole turns the frame into tensors."""
        for field in (self.uid_field, self.iid_field):
            check_ids(self.field2id_token[field][1:], f"{self.dataset_name}, field [{field}]")
        frame = self.inter_feat
        users, items = (frame[field].to_numpy() for field in (self.uid_field, self.iid_field))
        found = Interactions(users, items, self._times, self.field2id_token[self.iid_field])
        self.fingerprint = self._fingerprint(found)
        self.split = split_class(self.config["split"])(found, self.config)
        self.inter_feat = frame.iloc[self.split.order].reset_index(drop=True)
        del self._times
        self._mark()

    def _mark(self) -> None:
        """The tensors over the split's arrays."""
        self.rows = torch.arange(len(self.split.order))
        self.starts = torch.from_numpy(self.split.starts)
        self.seen = torch.from_numpy(self.split.seen)
        self.first_seen = torch.from_numpy(self.split.first_seen)
        self._history_items = torch.from_numpy(self.split.items)
        self._history_times = torch.from_numpy(in_seconds(self.split.times))
        self.item_id_list_field = self.iid_field + self.config["LIST_SUFFIX"]
        self.time_list_field = self.time_field + self.config["LIST_SUFFIX"]

    def _fingerprint(self, found: Interactions) -> str:
        """sha256 of the filtered interactions by token: equal data give it whatever RecBole's internal ids are."""
        digest = hashlib.sha256()
        ranks = []
        for field, ids in ((self.uid_field, found.users), (self.iid_field, found.items)):
            used = np.flatnonzero(np.bincount(ids))
            tokens = self.id2token(field, used)
            order = np.argsort(_sortable(tokens))
            digest.update("\0".join(tokens[order].tolist()).encode() + b"\1")
            rank = np.zeros(used[-1] + 1, dtype=np.int64)
            rank[used[order]] = np.arange(len(used))
            ranks.append(rank)
        # The order of (rank of the user, time): that of (user, time), with the users' stretches in another order.
        count = np.bincount(found.users)
        begin = np.cumsum(count) - count
        by_rank = np.flatnonzero(count)
        by_rank = by_rank[np.argsort(ranks[0][by_rank])]
        shift = begin[by_rank] - (np.cumsum(count[by_rank]) - count[by_rank])
        order = found.by_user_and_time[np.arange(len(found.users)) + np.repeat(shift, count[by_rank])]
        for rank, ids in zip(ranks, (found.users, found.items), strict=True):
            digest.update(np.ascontiguousarray(rank[ids[order]], dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(found.times[order], dtype="<i8").tobytes())
        return digest.hexdigest()

    @property
    def interactions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Users, items and exact times, int64 [N] each, of all interactions of all phases in (user, time) order."""
        return self.split.users, self.split.items, self.split.times

    @property
    def train_interactions(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Users, items and exact times, int64 [N] each, of the train phase, targets or not; the same from every
        view."""
        train = self.split.phases == 0
        return self.split.users[train], self.split.items[train], self.split.times[train]

    @property
    def size(self) -> DataSize:
        """How much there is to train on; the same from every view."""
        rows = int((self.split.targets & (self.split.phases == 0)).sum())
        return DataSize(rows, len(np.unique(self.split.items)), int(self.split.seen.sum()))

    @property
    def train_counter(self) -> Counter[int]:
        """How often each item is a target in train; the same from every view."""
        targets = self.split.items[self.split.targets & (self.split.phases == 0)]
        items, counts = np.unique(targets, return_counts=True)
        return Counter(dict(zip(items.tolist(), counts.tolist())))

    @property
    def phase_rows(self) -> int:
        """How many targets the phase has; a view has fewer rows where `valid_rows` draws some of them."""
        return int((self.split.targets & (self.split.phases == PHASES.index(self.phase or "test"))).sum())

    @property
    def candidates(self) -> torch.Tensor:
        """BoolTensor [n_items]: what this phase ranks; on the whole data set what test ranks."""
        return torch.from_numpy(self.split.rankable(self.phase or "test"))

    @property
    def protocol(self) -> dict[str, Any]:
        """Plain data that two results must share to be comparable."""
        return {
            "dataset": self.dataset_name,
            "fingerprint": self.fingerprint,
            **self.split.protocol,
            "filters": {key: self.config[key] for key in FILTERS if self.config[key] not in NO_FILTER},
            "max_item_list_length": int(self.max_item_list_len),
            **RULES,
        }

    # ---- views -----------------------------------------------------------------------------------------------------

    def build(self) -> list[InductiveDataset]:
        """The train, valid and test views; of valid only `valid_rows` rows where that is set.

        Raises:
            UserError: one of them has no target.
        """
        if isinstance(self.inter_feat, pd.DataFrame):
            self._to_tensors()
        views = []
        for number, phase in enumerate(PHASES):
            rows = np.flatnonzero(self.split.targets & (self.split.phases == number))
            if len(rows) == 0:
                why = self.split.why_empty(phase)
                raise UserError(f"The {phase} phase of [{self.dataset_name}] is empty: {why}")
            if phase == "valid" and self.config["valid_rows"]:
                rows = sample(rows, self.config["valid_rows"], self.config["seed"])
            if phase != "train" and (beyond := int((~self.split.rankable(phase)[self.split.items[rows]]).sum())):
                getLogger().warning(
                    f"{beyond:,} of {len(rows):,} targets of the {phase} phase are not among the items that [split: "
                    f"{self.config['split']}] lets it rank. No model can find them."
                )
            views.append(self._view(phase, torch.from_numpy(rows)))
        return views

    def _to_tensors(self) -> None:
        self._change_feat_format()
        self._drop_unused_col()

    def _change_feat_format(self) -> None:
        Dataset._change_feat_format(self)  # past SequentialDataset's, which would materialise every history
        for field, kind, length in (
            (self.item_id_list_field, FeatureType.TOKEN_SEQ, self.max_item_list_len),
            (self.item_list_length_field, FeatureType.TOKEN, 1),
        ):
            self.set_field_property(field, kind, FeatureSource.INTERACTION, length)

    def _view(self, phase: str, rows: torch.Tensor) -> InductiveDataset:
        view = self.copy(None)
        view.phase, view.rows, view.starts = phase, rows, self.starts[rows]
        view.inter_feat = _ViewFeature(_take(self.inter_feat, rows), view)
        return view

    def __getitem__(self, index: Index, join: bool = True) -> Interaction:
        """The rows of `index` as one batch: user_id, item_id [B], item_id_list [B, L] padded right, item_length [B],
        and timestamp_list [B, L], the times of the history's interactions in whole seconds. In valid and test also
        earlier_item_id_list [B, S], what `earlier_items` gives, where lists do without that (`repeatable: False`)."""
        index = _as_tensor_index(index, len(self))
        batch = _take(self.inter_feat, index)
        place, inside, length = self._history_places(index)
        history = {
            self.item_id_list_field: self._history_items[place].where(inside, 0),
            self.item_list_length_field: length,
            self.time_list_field: self._history_times[place].where(inside, 0),
        }
        if self.phase in LISTED and not self.config["repeatable"]:
            history[earlier_field(self.item_id_list_field)] = self.earlier_items(index)
        batch.update(Interaction(history))
        return self.join(batch) if join else batch

    def histories(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Item ids [..., L], padded with 0 on the right, and lengths [...] of the rows of `index` [...]."""
        place, inside, length = self._history_places(index)
        return self._history_items[place].where(inside, 0), length

    def earlier_items(self, index: torch.Tensor) -> torch.Tensor:
        """All items that the users of the rows of `index` [...] have had before, in the history or not: [..., S]."""
        return earlier_items(self._history_items, self.starts[index], self.rows[index])

    def _history_places(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Where the histories of the rows `index` [...] lie among all interactions: places [..., L], whether there is
        an interaction [..., L] (the place is 0 where there is none), and lengths [...]."""
        end, start = self.rows[index], self.starts[index]
        length = (end - start).clamp(max=self.max_item_list_len)
        offset = torch.arange(self.max_item_list_len)
        inside = offset < length[..., None]
        return ((end - length)[..., None] + offset).where(inside, 0), inside, length

    def sort(self, by: str | list[str], ascending: bool | list[bool] = True) -> None:
        self._reorder(lambda: self.inter_feat.sort(by=by, ascending=ascending))

    def shuffle(self) -> None:
        self._reorder(self.inter_feat.shuffle)

    def _reorder(self, reorder: Callable[[], None]) -> None:
        """RecBole's loaders may reorder `inter_feat` in place; each row must keep its history."""
        self.inter_feat["_row"] = torch.arange(len(self.rows))
        reorder()
        order = self.inter_feat["_row"]
        self.inter_feat.drop("_row")
        self.rows, self.starts = self.rows[order], self.starts[order]

    def inter_matrix(self, form: str = "coo", value_field: str | None = None) -> spmatrix:
        """[n_users, n_items] of this view's targets (RecBole's own needs materialised histories)."""
        return Dataset.inter_matrix(self, form, value_field)


def sample(rows: np.ndarray, size: int, seed: int) -> np.ndarray:
    """`size` of the rows, or all where there are no more, in their order: the same for the same seed."""
    drawn = np.random.default_rng(seed).permutation(len(rows))[:size]
    return rows[np.sort(drawn)]


def _sortable(tokens: np.ndarray) -> np.ndarray:
    """The tokens as bytes where they are ASCII: they are in the same order, and compared faster."""
    try:
        return tokens.astype("S")
    except UnicodeEncodeError:
        return tokens


class _ViewFeature(Interaction):
    """A view's interactions. A model that looks a history up in them (FEARec) gets the rows it asks for."""

    def __init__(self, rows: Interaction, view: InductiveDataset):
        super().__init__(rows.interaction)
        self.view = view

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str) and index in (self.view.item_id_list_field, self.view.item_list_length_field):
            return _HistoryColumn(self.view, which=int(index == self.view.item_list_length_field))
        return super().__getitem__(index)


class _HistoryColumn:
    """`column[index]` is the history (which = 0) or its length (1) of those rows, gathered when asked for."""

    def __init__(self, view: InductiveDataset, which: int):
        self.view, self.which = view, which

    def __getitem__(self, index: Index) -> torch.Tensor:
        return self.view.histories(_as_tensor_index(index, len(self.view)))[self.which]


def _take(interaction: Interaction, index: torch.Tensor) -> Interaction:
    """`interaction[index]` without RecBole's detour over a Python list."""
    return Interaction({field: interaction[field][index] for field in interaction})


def _as_tensor_index(index: Index, length: int) -> torch.Tensor:
    if isinstance(index, slice):
        return torch.from_numpy(np.arange(length)[index].copy())
    return torch.as_tensor(np.ascontiguousarray(index) if isinstance(index, np.ndarray) else index)
