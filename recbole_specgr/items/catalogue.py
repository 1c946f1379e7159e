"""The items of a finished run, as it keeps them: enough to build its model without the interactions it learned from."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field

import numpy as np
import torch
from recbole.config import Config
from recbole.data.dataset import Dataset
from torch import Tensor

from recbole_specgr import __version__
from recbole_specgr.data.times import time_unit
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.npz import pack, read_npz, unpack, write_npz
from recbole_specgr.text.item_text import field_kinds, item_titles

ITEMS = "items.npz"  # in a run's folder
_FORMAT = 1
_FACTS = ("version", "item_field", "field_kinds", "separator", "repeats", "time_unit")


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items by row; row 0 is the padding item.

    For a model that is being built it stands in for the train view of the data set, as long as the model reads nothing
    of it but the items.

    Attributes:
        item_tokens: the data set's names of the items, object [n_items].
        seen: the item is in the training data, BoolTensor [n_items].
        candidates: the item may be recommended, BoolTensor [n_items].
        titles: as they are in the data set's file, "" where there is none.
        item_field: name of the field that holds the items.
        field_kinds: item field -> its kind, one of `item_text.KINDS`.
        separator: of the labels in a field of labels.
        repeats: users came back to items in the data set; None where that is not known, of an earlier version's run.
        time_unit: the unit of the data set's times, "s", "ms" or "us"; None where that is not known, as of `repeats`.
        caches: what models keep of each item that takes long to compute, by its name in the model.
        version: of this package, that wrote it.
    """

    item_tokens: np.ndarray
    seen: Tensor
    candidates: Tensor
    titles: list[str]
    item_field: str = "item_id"
    field_kinds: dict[str, str] = field(default_factory=dict)
    separator: str = " "
    repeats: bool | None = None
    time_unit: str | None = None
    caches: dict[str, np.ndarray] = field(default_factory=dict)
    version: str = __version__

    @classmethod
    def from_dataset(cls, config: Config, dataset: Dataset) -> Catalogue:
        """The items of the test view `dataset`."""
        return cls(
            item_tokens=np.array([str(token) for token in _tokens_of(dataset)], dtype=object),
            seen=dataset.seen.clone(),
            candidates=dataset.candidates.clone(),
            titles=item_titles(dataset, config["text_fields"]),
            item_field=dataset.iid_field,
            field_kinds=field_kinds(dataset),
            separator=config["seq_separator"],
            repeats=dataset.repeats,
            time_unit=time_unit(dataset.split.times),
        )

    def title(self, row: int) -> str:
        """The item's title as people read it, with HTML entities such as `&amp;` resolved; "" where there is none."""
        return html.unescape(self.titles[row])

    def check_same_items(self, dataset: Dataset) -> None:
        """Raise UserError where `dataset`, any view, numbers other items, or these in another order, as it does after
        the lines of its file were sorted: what was learned of one item would be taken for another's."""
        ours, theirs = (np.asarray(tokens, dtype=str) for tokens in (self.item_tokens, _tokens_of(dataset)))
        both = min(len(ours), len(theirs))
        differing = np.flatnonzero(ours[:both] != theirs[:both])
        if len(differing):
            first = differing[0]
            reason = f"item {first} in the order of its file is {theirs[first]}, and was {ours[first]}"
        elif len(ours) != len(theirs):
            reason = f"it has {len(theirs) - 1:,} items, and had {len(ours) - 1:,}"
        else:
            return
        raise UserError(
            f"The data set [{dataset.dataset_name}] is not as it was when the run was trained: {reason}. Bring its "
            f"file back as it was, or train again."
        )

    # -- in place of the train view ------------------------------------------------------------------------------------

    @property
    def iid_field(self) -> str:
        return self.item_field

    @property
    def field2id_token(self) -> dict[str, np.ndarray]:
        return {self.item_field: self.item_tokens}

    def num(self, name: str) -> int:
        """Number of items, the padding item included. Raises AttributeError for the number of anything else."""
        if name != self.item_field:
            raise AttributeError(f"a catalogue has items only, no {name}")
        return len(self.item_tokens)

    # -- its file ------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write it to `path` (.npz)."""
        facts = {"format": _FORMAT, **{name: vars(self)[name] for name in _FACTS}}
        arrays = {
            "item_tokens": pack(self.item_tokens.tolist()),
            "titles": pack(self.titles),
            "seen": self.seen.numpy(),
            "candidates": self.candidates.numpy(),
        }
        write_npz(path, facts, arrays | {f"cache/{name}": array for name, array in self.caches.items()})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Catalogue:
        """Read what `save` wrote. Raises FileNotFoundError or UserError as `read_npz` does."""
        facts, arrays = read_npz(path, _FORMAT, "the items of a run")
        return cls(
            item_tokens=np.array(unpack(arrays["item_tokens"]), dtype=object),
            seen=torch.from_numpy(arrays["seen"]),
            candidates=torch.from_numpy(arrays["candidates"]),
            titles=unpack(arrays["titles"]),
            caches={name.removeprefix("cache/"): a for name, a in arrays.items() if name.startswith("cache/")},
            **{name: facts[name] for name in _FACTS if name in facts},
        )


def _tokens_of(dataset: Dataset) -> np.ndarray:
    tokens: np.ndarray = dataset.field2id_token[dataset.iid_field]
    return tokens
