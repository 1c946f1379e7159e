"""What a model keeps of each item, and how items that arrive after training come into it.

A model takes new items when every module in it that keeps something of each item is an `ItemTables`. That takes few
lines: the names of the tables, the names of what is computed from them and kept, and the rows of both for new items.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import torch
import torch.nn.functional as F
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)  # a model, or a part of one


@dataclass(frozen=True)
class NewItems:
    """Items that a model was not built with.

    Attributes:
        features: text vectors `[n, d_text]`.
        tokens: semantic ids as vocabulary tokens `[n, n_digits]`, for a model that has them.
        attributes: field -> their texts, for a model that reads text itself; None where only the vectors are known.
    """

    features: Tensor
    tokens: Tensor | None = None
    attributes: dict[str, list[str]] | None = None

    def __len__(self) -> int:
        return len(self.features)


class ItemTables:
    """Mixin for a module that keeps something of each item.

    Attributes:
        item_tables: names of its tensors with a row an item that are there as soon as the model is built.
        item_caches: names of those that are computed from its parameters when first needed, None until then.
        item_padding: name -> what fills up the rows of a table that are shorter than others, on the right.
    """

    item_tables: tuple[str, ...] = ()
    item_caches: tuple[str, ...] = ()
    item_padding: Mapping[str, int] = MappingProxyType({})

    def new_rows(self, new: NewItems) -> dict[str, Tensor]:
        """Rows `[n, ...]` of every table for new items. They depend on nothing but those items."""
        raise NotImplementedError

    def new_cache_rows(self, new: NewItems) -> dict[str, Tensor]:
        """Rows `[n, ...]` of every cache for new items, likewise."""
        return {}

    def items_changed(self) -> None:
        """Forget what was made of all items together, such as an index."""


def item_modules(model: nn.Module) -> dict[str, ItemTables]:
    """The modules that keep something of each item, by the name of the part of a composite model, "" for the whole."""
    return {_part(name): module for name, module in model.named_modules() if isinstance(module, ItemTables)}


@torch.no_grad()
def with_items(
    model: SequentialRecommender, new: Mapping[str, NewItems], kept: Mapping[str, Tensor] | None = None
) -> SequentialRecommender:
    """The model with further items, after those it has. It shares its parameters with `model`, which stays as it is.

    Args:
        new: the items as each part reads them, by the part's name as in `item_modules`.
        kept: their rows of `caches`, where they were computed before.
    """
    changed, kept = copy_for_use(model), kept or {}
    for part, module in item_modules(changed).items():
        items = new.get(part) or next(iter(new.values()))  # the whole of a composite model reads nothing of them
        rows = module.new_rows(items)
        if any(getattr(module, name) is not None for name in module.item_caches):
            known = {name: kept[f"{part}:{name}"] for name in module.item_caches if f"{part}:{name}" in kept}
            if len(known) < len(module.item_caches):  # rounded as in the file that keeps them, to be the same after it
                known = {name: cache.float() for name, cache in module.new_cache_rows(items).items()}
            rows |= known
        for name in (*module.item_tables, *module.item_caches):
            table = getattr(module, name)
            if table is not None:
                setattr(module, name, _joined(table, rows[name].to(table), module.item_padding.get(name, 0)))
    return _with_number(changed, model.n_items + len(next(iter(new.values()))))


@torch.no_grad()
def without_items(model: M, kept: Tensor) -> M:
    """The model with only the rows `kept` `[n]` of its items, in this order; `model` stays as it is."""
    changed = copy_for_use(model)
    for module in item_modules(changed).values():
        for name in (*module.item_tables, *module.item_caches):
            table = getattr(module, name)
            if table is not None:
                setattr(module, name, table[kept.to(table.device)])
    return _with_number(changed, len(kept))


def copy_for_use(model: M) -> M:
    """A copy that shares all tensors, but whose own attributes (settings of inference, index, tables) can be changed
    while others use `model`."""
    copied = object.__new__(type(model))
    copied.__dict__ = model.__dict__.copy()
    for name in ("_parameters", "_buffers", "_modules"):
        copied.__dict__[name] = model.__dict__[name].copy()
    if isinstance(decoding := model.__dict__.get("decoding"), dict):
        copied.__dict__["decoding"] = decoding.copy()
    for name, child in model.named_children():
        if any(isinstance(module, ItemTables) for module in child.modules()):
            copied._modules[name] = copy_for_use(child)
    return copied


def caches(model: nn.Module) -> dict[str, Tensor]:
    """What is kept of each item because it takes long to compute: name -> `[n_items, ...]`."""
    return {
        f"{part}:{name}": cache
        for part, module in item_modules(model).items()
        for name in module.item_caches
        if (cache := getattr(module, name)) is not None
    }


def restore_caches(model: SequentialRecommender, kept: Mapping[str, Tensor]) -> None:
    """Put back what `caches` gave, where it has as many rows as the model has items."""
    modules = item_modules(model)
    for key, cache in kept.items():
        part, _, name = key.partition(":")
        if part in modules and name in modules[part].item_caches and len(cache) == model.n_items:
            setattr(modules[part], name, cache)


def _joined(table: Tensor, rows: Tensor, fill: int) -> Tensor:
    if table.dim() == 2 and table.size(1) != rows.size(1):
        width = max(table.size(1), rows.size(1))
        table, rows = (F.pad(part, (0, width - part.size(1)), value=fill) for part in (table, rows))
    return torch.cat([table, rows])


def _with_number(model: M, n_items: int) -> M:
    for module in model.modules():
        if isinstance(module, SequentialRecommender) and any(
            isinstance(inner, ItemTables) for inner in module.modules()
        ):
            module.n_items = n_items
        if isinstance(module, ItemTables):
            module.items_changed()
    return model


def _part(name: str) -> str:
    """The name of a module of a composite model -> the part's: `parts.drafter` is `drafter`."""
    return "/".join(word for word in name.split(".") if word != "parts")
