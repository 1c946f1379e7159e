"""What happened to a run's items since it was trained: one file, beside those of the training."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from recbole_specgr import __version__
from recbole_specgr.items.catalogue import Catalogue
from recbole_specgr.models.item_tables import NewItems
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.fingerprint import content_key
from recbole_specgr.system.npz import pack, read_npz, unpack, write_npz

CHANGES = "catalogue_changes.npz"  # in a run's folder
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Changes:
    """Items added and items taken from the lists.

    Attributes:
        n_trained: rows of the catalogue that the model was trained with, the padding item's included.
        trained: fingerprint of those items.
        tokens, titles: of the items added, in the order of their rows.
        new: what each part of the model reads of them.
        caches: their rows of what the model keeps; only in a file.
        delisted: tokens of the items of training that are recommended no more.
        listed: of those that are now, though the run's test does not rank them since nobody used them.
    """

    n_trained: int
    trained: str
    tokens: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    new: dict[str, NewItems] = field(default_factory=dict)
    caches: dict[str, np.ndarray] = field(default_factory=dict)
    delisted: tuple[str, ...] = ()
    listed: tuple[str, ...] = ()

    @classmethod
    def none(cls, catalogue: Catalogue) -> Changes:
        """No change to the items of a run as it was trained."""
        return cls(len(catalogue.item_tokens), content_key(catalogue.item_tokens.tolist()))

    def with_added(self, tokens: list[str], titles: list[str], new: Mapping[str, NewItems]) -> Changes:
        both = {name: _joined(self.new[name], items) for name, items in new.items()} if self.new else dict(new)
        return replace(self, tokens=self.tokens + tokens, titles=self.titles + titles, new=both)

    def without(self, rows: list[int]) -> Changes:
        """Without the items added in these rows of the catalogue."""
        gone = {row - self.n_trained for row in rows}
        kept = [row for row in range(len(self.tokens)) if row not in gone]
        new = {name: _chosen(items, kept) for name, items in self.new.items()} if kept else {}
        return replace(
            self, tokens=[self.tokens[row] for row in kept], titles=[self.titles[row] for row in kept], new=new
        )

    def with_listing(self, tokens: list[str], listed: bool) -> Changes:
        """With items of training put on the lists, or taken from them."""
        undone, done = (self.delisted, self.listed) if listed else (self.listed, self.delisted)
        done += tuple(token for token in tokens if token not in undone)
        undone = tuple(token for token in undone if token not in tokens)
        return replace(self, delisted=undone if listed else done, listed=done if listed else undone)

    def save(self, path: str | os.PathLike, caches: Mapping[str, Tensor]) -> None:
        """Write it to `path` (.npz).

        Args:
            caches: what the model keeps of all items, `item_tables.caches`.
        """
        facts = {
            "format": _FORMAT,
            "version": __version__,
            "n_trained": self.n_trained,
            "trained": self.trained,
            "parts": {name: sorted(items.attributes or {}) for name, items in self.new.items()},
        }
        arrays = {"tokens": pack(self.tokens), "titles": pack(self.titles), "delisted": pack(self.delisted)}
        arrays["listed"] = pack(self.listed)
        for name, items in self.new.items():
            arrays[f"features/{name}"] = items.features.numpy()
            if items.tokens is not None:
                arrays[f"tokens/{name}"] = items.tokens.numpy()
            for attribute, texts in (items.attributes or {}).items():
                arrays[f"attribute/{name}/{attribute}"] = pack(texts)
        for name, cache in caches.items():
            arrays[f"cache/{name}"] = cache[self.n_trained :].float().cpu().numpy()
        write_npz(path, facts, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike, trained: Changes) -> Changes:
        """Read what `save` wrote.

        Args:
            trained: `none` of the run's items.

        Raises:
            UserError: the file is damaged, of another version, or of another training of the run.
        """
        facts, arrays = read_npz(path, _FORMAT, "the changes of a run's items")
        if (facts["n_trained"], facts["trained"]) != (trained.n_trained, trained.trained):
            raise UserError(
                f"{path} was written for a run with other items: the run has been trained again since. Delete the file "
                f"and add the items again."
            )
        new = {
            name: NewItems(
                torch.from_numpy(arrays[f"features/{name}"]),
                torch.from_numpy(arrays[f"tokens/{name}"]) if f"tokens/{name}" in arrays else None,
                {field: unpack(arrays[f"attribute/{name}/{field}"]) for field in fields} or None,
            )
            for name, fields in facts["parts"].items()
        }
        return replace(
            trained,
            tokens=unpack(arrays["tokens"]),
            titles=unpack(arrays["titles"]),
            new=new,
            caches={key.removeprefix("cache/"): value for key, value in arrays.items() if key.startswith("cache/")},
            delisted=tuple(unpack(arrays["delisted"])),
            listed=tuple(unpack(arrays["listed"])),
        )


def _joined(first: NewItems, second: NewItems) -> NewItems:
    attributes = None
    if first.attributes is not None and second.attributes is not None:
        attributes = {key: first.attributes[key] + second.attributes[key] for key in first.attributes}
    return NewItems(
        torch.cat([first.features, second.features]),
        None if first.tokens is None or second.tokens is None else torch.cat([first.tokens, second.tokens]),
        attributes,
    )


def _chosen(items: NewItems, rows: list[int]) -> NewItems:
    return NewItems(
        items.features[rows],
        None if items.tokens is None else items.tokens[rows],
        items.attributes and {key: [texts[row] for row in rows] for key, texts in items.attributes.items()},
    )
