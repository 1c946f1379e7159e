"""RecBole's pipeline from atomic files to numbered rows: the same rows and numbers, in less time and memory."""

from __future__ import annotations

import warnings
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals
from recbole.data.dataset import SequentialDataset
from recbole.utils import FeatureSource, FeatureType

from recbole_specgr.data.arrow_reader import column_types, read_columns
from recbole_specgr.data.splits.contract import Split
from recbole_specgr.data.times import exact_times
from recbole_specgr.system.delimited import lines_in_fields
from recbole_specgr.system.errors import UserError

NO_FILTER = (None, "[0,inf)")


class LoadedDataset(SequentialDataset):
    """RecBole's data set as its files are read, filtered and numbered.

    Ids are categories from the file on. Times stay exact: they are read off before RecBole rounds them to float32.

    Attributes:
        repeats: users came back to items, in the file or before its import; only the first time is kept.
        without_number: field of numbers -> which items have none, bool `[n_items]`.
        said: warnings about the files.
    """

    without_number: dict[str, np.ndarray]
    said: list[str]
    repeats: bool
    inter_feat: Any  # these three: frames while they are loaded, Interactions from `build` on
    item_feat: Any
    user_feat: Any
    fingerprint: str  # this and the split are made by InductiveDataset, when all is loaded
    split: Split

    def _from_scratch(self) -> None:
        self.said = []
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
                self._warn(
                    f"{path}: quoted fields put {inside:,} lines into the rows before them. If these should be rows of "
                    f"their own, write each quote twice and the field in quotes."
                )

    def _load_feat(self, filepath: str, source: FeatureSource | str) -> pd.DataFrame | None:
        """RecBole's, read by Arrow where all wanted columns are tokens and numbers."""
        path, separator = Path(filepath), self.config["field_separator"]
        types = column_types(path, separator, self.config["encoding"])
        wanted, unwanted = self._get_load_and_unload_col(source)
        if types is None or not isinstance(source, FeatureSource):
            return super()._load_feat(filepath, source)
        fields = {
            name: name.split(":")[0]
            for name in types
            if (wanted is None or name.split(":")[0] in wanted) and name.split(":")[0] not in (unwanted or ())
        }
        plain = {types[name] for name in fields} <= {FeatureType.TOKEN, FeatureType.FLOAT}
        frame = read_columns(path, separator, {name: types[name] for name in fields}) if fields and plain else None
        if frame is None:
            return super()._load_feat(filepath, source)
        for name, field in fields.items():
            self.set_field_property(field, types[name], source, 1)
            if types[name] == FeatureType.FLOAT:
                self.field2bucketnum[field] = 2
        return frame.rename(columns=fields, copy=False)

    def _filter_nan_user_or_item(self) -> None:
        """Only rows that say which user and which item they are of. RecBole takes labels for positions where rows were
        dropped before, so that it drops others."""
        users, items = self.uid_field, self.iid_field
        self.inter_feat = self._complete(self.inter_feat, [users, items], "inter")
        if self.user_feat is not None:
            self.user_feat = self._complete(self.user_feat, [users], "user")
        if self.item_feat is not None:
            self.item_feat = self._complete(self.item_feat, [items], "item")

    def _complete(self, feature: pd.DataFrame, fields: list[str], suffix: str) -> pd.DataFrame:
        """The rows that have all of these fields."""
        lacking = feature[fields].isnull().any(axis=1).to_numpy()
        if lacking.any():
            lines = ", ".join(f"{line:,}" for line in (np.flatnonzero(lacking)[:5] + 2).tolist())
            self._warn(
                f"{self.dataset_name}.{suffix}: {int(lacking.sum()):,} rows without {' or '.join(fields)} are left out "
                f"(such as line {lines})."
            )
        return feature[~lacking]

    def _fill_nan(self) -> None:
        """RecBole's, which gives items without a number the mean of all: fit for a feature, but no part of a text."""
        items = {} if self.item_feat is None else self.item_feat
        numbers = [field for field in items if self.field2type[field] == FeatureType.FLOAT]
        self.without_number = {field: items[field].isnull().to_numpy() for field in numbers}
        super()._fill_nan()

    def _warn(self, sentence: str) -> None:
        """Say something of the files, now and whenever what they gave is read from the cache."""
        self.said.append(sentence)
        getLogger().warning(sentence)

    def _filter_by_inter_num(self) -> None:
        """RecBole's, which counts every interaction even where nothing is to be filtered."""
        if any(self.config[f"{side}_inter_num_interval"] not in NO_FILTER for side in ("user", "item")):
            super()._filter_by_inter_num()

    def _filter_by_field_value(self) -> None:
        """RecBole's, which takes an interval for numbers and a list for everything else."""
        for field, wanted in (self.config["val_interval"] or {}).items():
            numbers = self.field2type.get(field) in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ)
            if field in self.field2type and not numbers and not isinstance(wanted, list):
                raise UserError(
                    f"[val_interval.{field}: {wanted}]: the column [{field}] holds no numbers. Give the list of the "
                    f"values that are kept."
                )
        super()._filter_by_field_value()

    def _filter_inter_by_user_or_item(self) -> None:
        """RecBole's, which does not say that interactions are gone."""
        before = len(self.inter_feat)
        super()._filter_inter_by_user_or_item()
        gone = before - len(self.inter_feat)
        if gone and not self.config["val_interval"]:  # which may have filtered the items
            self._warn(
                f"{gone:,} of {before:,} interactions are left out: their items or users do not stand in "
                f"{self.dataset_name}'s .item or .user file. Add them there, or keep the interactions with "
                f"--filter_inter_by_user_or_item=False"
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
        times = exact_times(frame[self.time_field].to_numpy(), self.time_field)
        pairs = _pairs(frame[self.uid_field], frame[self.iid_field])
        ordered = np.sort(pairs)
        twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        self.repeats = len(twice) > 0 or bool(self.config["repeats_removed"])
        if len(twice):
            place = np.searchsorted(twice, pairs).clip(max=len(twice) - 1)
            repeated = np.flatnonzero(twice[place] == pairs)
            in_time = repeated[np.argsort(times[repeated], kind="stable")]
            again = pd.Series(pairs[in_time]).duplicated().to_numpy()
            frame.drop(frame.index[in_time[again]], inplace=True)

    def _data_filtering(self) -> None:
        super()._data_filtering()
        # Here and not later: `normalize_all` would rescale the times, and RecBole's tensors are float32.
        self._times = exact_times(self.inter_feat[self.time_field].to_numpy(), self.time_field)

    def _get_preset(self) -> None:
        super()._get_preset()
        self.field2token_id = TokenNumbers(self.field2id_token)

    def _remap(self, remap_list: list) -> None:
        """RecBole's, but tokens that were read as categories keep these, and item texts of one token their own length
        (numpy would pad all to the longest)."""
        columns = [feature[field].array for feature, field, _ in remap_list]
        text = len(columns) == 1 and remap_list[0][1:] in self._text_tokens()
        if not text and not (columns and all(isinstance(column, pd.Categorical) for column in columns)):
            super()._remap(remap_list)
            return
        numbers, tokens = pd.factorize(columns[0] if len(columns) == 1 else union_categoricals(columns))
        names = np.array(["[PAD]", *tokens], dtype=object if text else None)
        ends = np.cumsum([len(column) for column in columns])
        for (feature, field, _), ids in zip(remap_list, np.split(numbers + 1, ends[:-1]), strict=True):
            self.field2id_token.setdefault(field, names)
            feature[field] = ids

    def _text_tokens(self) -> list[tuple[str, FeatureType]]:
        return [(field, FeatureType.TOKEN) for field in self.config["text_fields"] or ()]


def _pairs(users: pd.Series, items: pd.Series) -> np.ndarray:
    """A number for each (user, item), int64 [N]: equal where both are."""
    first, second = (
        column.cat.codes.to_numpy() if isinstance(column.dtype, pd.CategoricalDtype) else pd.factorize(column)[0]
        for column in (users, items)
    )
    return first.astype(np.int64) * (int(second.max(initial=0)) + 1) + second


class TokenNumbers(dict[str, dict[str, int]]):
    """Field -> token -> number, made of `field2id_token` for the field that is asked for.

    Of millions of tokens it takes a second and hundreds of megabytes, and few ask for it.
    """

    def __init__(self, tokens: dict[str, np.ndarray]) -> None:
        super().__init__()
        self._tokens = tokens

    def __missing__(self, field: str) -> dict[str, int]:
        self[field] = {token: number for number, token in enumerate(self._tokens[field].tolist())}
        return self[field]
