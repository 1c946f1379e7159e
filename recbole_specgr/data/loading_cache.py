"""What loading a large data set makes of its files, kept as arrays so that the next run maps them into memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from logging import getLogger
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.data.interaction import Interaction
from recbole.utils import FeatureSource, FeatureType
from recbole.utils.argument_list import dataset_arguments

from recbole_specgr.data.loading import LoadedDataset
from recbole_specgr.data.splits import contract
from recbole_specgr.settings.named_classes import split_class
from recbole_specgr.system.array_folder import read_arrays, write_arrays
from recbole_specgr.system.fingerprint import content_key
from recbole_specgr.system.npz import pack, unpack

_FORMAT = 3  # raise it whenever loading makes something else of the same files and settings, or this file writes it so
WORTH = 32 * 2**20  # bytes of interactions from which on the cache is faster than anyone minds waiting
SETTINGS = (
    *dataset_arguments,  # RecBole's own list of what its loading reads
    *("numerical_features", "discretization", "encoding"),
    *("split", "timestamp_split", "launch_holdout", "repeats_removed", "text_fields"),
)
_PROPERTIES = ("field2type", "field2source", "field2seqlen", "field2bucketnum")
_FEATURES = ("inter_feat", "user_feat", "item_feat")


def read_by_loading(config: Config) -> dict[str, Any] | None:
    """The settings that loading reads; None where it may be any, because the split is the user's own."""
    if not split_class(config["split"]).__module__.startswith(contract.__package__):
        return None
    return {name: config[name] for name in SETTINGS}


@dataclass(frozen=True)
class LoadingCache:
    """The folder that keeps a data set as it is loaded under some settings.

    Its name is a fingerprint of the format, the files' names, sizes and times, and all settings that loading reads. A
    folder that is damaged or not finished is made again.
    """

    folder: Path

    @classmethod
    def of(cls, config: Config) -> LoadingCache | None:
        """The cache of the data set that the settings name; None where loading takes no time, or reads what a
        fingerprint does not cover: further files, or a split of the user's own."""
        files = sorted(Path(config["data_path"]).glob(f"{config['dataset']}.*"))
        sizes = {file.suffix: file.stat().st_size for file in files}
        if sizes.get(".inter", 0) < WORTH or config["additional_feat_suffix"] or config["preload_weight"]:
            return None
        # Only now: what is asked for counts as read, and a setting that nothing else reads would not be told of.
        read = read_by_loading(config)
        if read is None:
            return None
        states = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        key = content_key(_FORMAT, version("recbole"), states, read)
        return cls(Path(config["cache_path"]) / "loaded" / f"{config['dataset']}-{key}")

    def read(self) -> Kept | None:
        """What is kept, or None."""
        found = read_arrays(self.folder)
        if found is None:
            return None
        getLogger().info(f"The data set is as {self.folder} keeps it.")
        return Kept(*found)

    def write(self, dataset: LoadedDataset) -> None:
        """Keep a data set whose features are tensors."""
        kept = Kept.of(dataset)
        write_arrays(self.folder, kept.facts, kept.arrays)


@dataclass(frozen=True)
class Kept:
    """All that loading has made of a data set: plain facts, and arrays by name."""

    facts: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, dataset: LoadedDataset) -> Kept:
        features = {name: getattr(dataset, name) for name in _FEATURES if getattr(dataset, name) is not None}
        split = vars(dataset.split)
        texts = {field: names for field, names in dataset.field2id_token.items() if names.dtype == object}
        arrays = {f"split/{name}": value for name, value in split.items() if isinstance(value, np.ndarray)}
        for name, feature in features.items():
            arrays |= {f"{name}/{field}": feature[field].numpy() for field in feature}
        for field, names in dataset.field2id_token.items():
            arrays[f"tokens/{field}"] = pack(names.tolist()) if field in texts else names
        arrays |= {f"without_number/{field}": lacking for field, lacking in dataset.without_number.items()}
        facts = {
            "said": dataset.said,
            "without_number": list(dataset.without_number),
            "features": {name: list(feature) for name, feature in features.items()},
            "split": {name: value for name, value in split.items() if not isinstance(value, np.ndarray)},
            "tokens": list(dataset.field2id_token),
            "texts": list(texts),
            "alias": {name: fields.tolist() for name, fields in dataset.alias.items()},
            "rest_fields": list(dataset._rest_fields),
            "fingerprint": dataset.fingerprint,
            "repeats": dataset.repeats,
        }
        for name in _PROPERTIES:
            properties = getattr(dataset, name).items()
            facts[name] = {field: value.value if isinstance(value, Enum) else value for field, value in properties}
        return cls(facts, arrays)

    def restore(self, dataset: LoadedDataset) -> None:
        """Give a data set that knows its settings what was loaded."""
        facts, arrays = self.facts, self.arrays
        for name in _FEATURES:
            fields = facts["features"].get(name)
            columns = {field: torch.from_numpy(arrays[f"{name}/{field}"]) for field in fields or ()}
            setattr(dataset, name, None if fields is None else Interaction(columns))
        for field in facts["tokens"]:
            names = arrays[f"tokens/{field}"]
            dataset.field2id_token[field] = (
                np.array(unpack(names), dtype=object) if field in facts["texts"] else np.asarray(names)
            )
        for name in _PROPERTIES:
            getattr(dataset, name).update(facts[name])
        dataset.field2type.update({field: FeatureType(kind) for field, kind in facts["field2type"].items()})
        dataset.field2source.update({field: FeatureSource(kind) for field, kind in facts["field2source"].items()})
        dataset.alias = {name: np.array(fields) for name, fields in facts["alias"].items()}
        dataset._rest_fields = np.array(facts["rest_fields"])
        dataset.feat_name_list = dataset._build_feat_name_list()
        dataset.without_number = {field: arrays[f"without_number/{field}"] for field in facts["without_number"]}
        dataset.said = facts["said"]
        for sentence in dataset.said:
            getLogger().warning(sentence)
        dataset.fingerprint, dataset.repeats = facts["fingerprint"], facts["repeats"]
        of_split = {name: arrays[f"split/{name}"] for name in self._split_arrays}
        dataset.split = split_class(dataset.config["split"]).restored({**facts["split"], **of_split})

    @property
    def _split_arrays(self) -> list[str]:
        return [name.removeprefix("split/") for name in self.arrays if name.startswith("split/")]
