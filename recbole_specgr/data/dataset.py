"""RecBole's sequential data set, split as a setting says, with histories that are never materialised.

A row is an interaction that has an earlier one by the same user: the *target*. Its history is everything the user did
before it, over phases, cut to the last `MAX_ITEM_LIST_LENGTH`. All interactions lie in one array sorted by (user,
time, line of the file), so a history is two numbers, where the user starts and where the target stands.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from recbole.data.dataset import Dataset, SequentialDataset
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType
from scipy.sparse import spmatrix

from recbole_specgr.data.ids import check_ids
from recbole_specgr.data.splits.contract import PHASES, Interactions, Split
from recbole_specgr.data.times import exact_times, in_seconds
from recbole_specgr.settings.named_classes import split_class
from recbole_specgr.settings.presets import DataSize
from recbole_specgr.system.delimited import lines_in_fields
from recbole_specgr.system.errors import UserError

#: RecBole's settings that decide which interactions there are.
FILTERS = (
    "val_interval",
    "filter_inter_by_user_or_item",
    "user_inter_num_interval",
    "item_inter_num_interval",
)
NO_FILTER = (None, "[0,inf)")
RULES = {"ties": "line of the interaction file", "repeats": "first of every (user, item)"}
Index = int | slice | list | np.ndarray | torch.Tensor


class InductiveDataset(SequentialDataset):
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
    split: Split
    repeats: bool
    inter_feat: Any  # a frame while RecBole loads it, an Interaction from `build` on

    # ---- loading: RecBole's pipeline, with exact times -------------------------------------------------------------

    def _from_scratch(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # RecBole's own pandas calls, dozens of lines a run
            try:
                super()._from_scratch()
            except UserError:
                raise
            except (ValueError, KeyError) as error:  # a setting names a column that the files do not have
                reason = f"there is no [{error.args[0]}]" if isinstance(error, KeyError) else str(error)
                raise UserError(
                    f"RecBole can't read the data set [{self.dataset_name}] with these settings: {reason}."
                ) from error

    def _load_data(self, token: str, dataset_path: str) -> None:
        if self.config["benchmark_filename"] is not None:
            raise UserError(
                f"benchmark_filename [{self.config['benchmark_filename']}] brings its own split; "
                "InductiveDataset splits one .inter file itself, as [split] says. Remove the setting."
            )
        self._check_files(Path(dataset_path), token)
        super()._load_data(token, dataset_path)
        if self.time_field not in self.inter_feat:
            raise UserError(
                f"The time field [{self.time_field}] (TIME_FIELD) was not loaded from {token}.inter; its loaded "
                f"columns are {list(self.inter_feat.columns)}. Check TIME_FIELD, load_col and unload_col."
            )

    def _check_files(self, folder: Path, token: str) -> None:
        """Raises UserError for a stray quote, which RecBole's reader would let swallow the rows after it."""
        if self.config["encoding"] != "utf-8":
            return
        for path in (folder / f"{token}.{suffix}" for suffix in ("inter", "item", "user")):
            inside = lines_in_fields(path, self.config["field_separator"]) if path.is_file() else 0
            if inside:
                getLogger().warning(
                    f"{path}: quoted fields put {inside:,} lines into the rows before them. If these should be rows of "
                    f"their own, write each quote twice and the field in quotes."
                )

    def _remove_duplication(self) -> None:
        """Keeps the first of every (user, item), and the order of the file (RecBole's own sort is not stable)."""
        if self.config["rm_dup_inter"] not in (None, "first"):
            raise UserError(
                f"rm_dup_inter [{self.config['rm_dup_inter']}]: the protocol keeps the first of a repeated "
                "(user, item). Leave the setting empty."
            )
        self._check_field("uid_field", "iid_field")
        frame = self.inter_feat
        exact_times(frame[self.time_field].to_numpy(), self.time_field)
        in_time = frame.sort_values(self.time_field, kind="stable")
        repeats = in_time.index[in_time.duplicated([self.uid_field, self.iid_field])]
        self.repeats = len(repeats) > 0
        frame.drop(repeats, inplace=True)

    def _data_filtering(self) -> None:
        super()._data_filtering()
        # Here and not later: `normalize_all` would rescale the times, and RecBole's tensors are float32.
        self._times = exact_times(self.inter_feat[self.time_field].to_numpy(), self.time_field)

    def _remap(self, remap_list: list) -> None:
        """RecBole's, but item texts of one token keep their own length (numpy would pad all to the longest)."""
        if len(remap_list) != 1 or remap_list[0][1:] not in self._text_tokens():
            super()._remap(remap_list)
            return
        feature, field, _ = remap_list[0]
        codes, texts = pd.factorize(feature[field].to_numpy())
        feature[field] = codes + 1
        self.field2id_token[field] = np.array(["[PAD]", *texts], dtype=object)
        self.field2token_id[field] = {text: number for number, text in enumerate(self.field2id_token[field])}

    def _text_tokens(self) -> list[tuple[str, FeatureType]]:
        return [(field, FeatureType.TOKEN) for field in self.config["text_fields"] or ()]

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
        self.fingerprint = self._fingerprint(users, items, self._times)
        found = Interactions(users, items, self._times, self.field2id_token[self.iid_field])
        self.split = split_class(self.config["split"])(found, self.config)
        self.inter_feat = frame.iloc[self.split.order].reset_index(drop=True)
        del self._times
        self.rows = torch.arange(len(self.split.order))
        self.starts = torch.from_numpy(self.split.starts)
        self.seen = torch.from_numpy(self.split.seen)
        self.first_seen = torch.from_numpy(self.split.first_seen)

    def _fingerprint(self, users: np.ndarray, items: np.ndarray, times: np.ndarray) -> str:
        """sha256 of the filtered interactions by token: equal data give it whatever RecBole's internal ids are."""
        digest = hashlib.sha256()
        ranks = []
        for field, ids in ((self.uid_field, users), (self.iid_field, items)):
            used, inverse = np.unique(ids, return_inverse=True)
            tokens = self.id2token(field, used)
            order = np.argsort(tokens)
            digest.update("\0".join(tokens[order].tolist()).encode() + b"\1")
            ranks.append(np.argsort(order)[inverse])
        order = np.lexsort((times, ranks[0]))
        for column in (*ranks, times):
            digest.update(np.ascontiguousarray(column[order], dtype="<i8").tobytes())
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
        """The train, valid and test views. Raises UserError when one of them has no target."""
        if isinstance(self.inter_feat, pd.DataFrame):
            self._change_feat_format()
            self._drop_unused_col()
        views = []
        for number, phase in enumerate(PHASES):
            rows = np.flatnonzero(self.split.targets & (self.split.phases == number))
            if len(rows) == 0:
                why = self.split.why_empty(phase)
                raise UserError(f"The {phase} phase of [{self.dataset_name}] is empty: {why}")
            views.append(self._view(phase, torch.from_numpy(rows)))
        return views

    def _change_feat_format(self) -> None:
        Dataset._change_feat_format(self)  # past SequentialDataset's, which would materialise every history
        self._history_items = torch.from_numpy(self.split.items)
        self._history_times = torch.from_numpy(in_seconds(self.split.times))
        self.item_id_list_field = self.iid_field + self.config["LIST_SUFFIX"]
        self.time_list_field = self.time_field + self.config["LIST_SUFFIX"]
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
        and timestamp_list [B, L], the times of the history's interactions in whole seconds."""
        index = _as_tensor_index(index, len(self))
        batch = _take(self.inter_feat, index)
        place, inside, length = self._history_places(index)
        history = {
            self.item_id_list_field: self._history_items[place].where(inside, 0),
            self.item_list_length_field: length,
            self.time_list_field: self._history_times[place].where(inside, 0),
        }
        batch.update(Interaction(history))
        return self.join(batch) if join else batch

    def histories(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Item ids [..., L], padded with 0 on the right, and lengths [...] of the rows of `index` [...]."""
        place, inside, length = self._history_places(index)
        return self._history_items[place].where(inside, 0), length

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
