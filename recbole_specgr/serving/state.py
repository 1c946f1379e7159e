"""A model with its catalogue, as one value: items that come or go make a new one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor

from recbole_specgr.items.catalogue import Catalogue
from recbole_specgr.models.item_tables import with_items, without_items
from recbole_specgr.models.ranking import rankable
from recbole_specgr.serving.changes import Changes
from recbole_specgr.serving.new_items import ReadItems, ServedPart, chosen_ids, joined_ids


@dataclass(frozen=True, eq=False)
class State:
    """All that a list depends on; it is never changed, only replaced as a whole.

    Attributes:
        catalogue: every item.
        model: in evaluation mode, on its device.
        parts: the model, or those it is made of, as new items are read for them.
        changes: what came and went since training.
    """

    catalogue: Catalogue
    model: SequentialRecommender
    parts: dict[str, ServedPart]
    changes: Changes

    @cached_property
    def allowed(self) -> Tensor:
        """What the model may recommend, BoolTensor [n_items] on its device."""
        allowed = rankable(self.model, self.catalogue.candidates, self.catalogue.seen)
        return allowed.to(next(iter([*self.model.parameters(), *self.model.buffers()])).device)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Item token -> row."""
        tokens = self.catalogue.item_tokens[1:].tolist()
        return dict(zip(tokens, range(1, len(tokens) + 1)))

    def restored(self, changes: Changes) -> State:
        """The state of a run as it was trained -> the one whose changes were saved."""
        state = self
        if changes.tokens:
            ids = {}
            for name, part in self.parts.items():
                tokens = changes.new[name].tokens
                if part.ids is not None and tokens is not None:
                    ids[name] = joined_ids(part.ids, tokens, changes.tokens)
            kept = {name: torch.from_numpy(cache) for name, cache in changes.caches.items()}
            state = self.with_items(ReadItems(changes.tokens, changes.titles, changes.new, ids), kept)
        state = state.without_items([state.row_of[token] for token in changes.delisted])
        return state.listed_again([state.row_of[token] for token in changes.listed])

    def with_items(self, items: ReadItems, kept: Mapping[str, Tensor] | None = None) -> State:
        """With new items; `kept` are their rows of what the model keeps, where known."""
        n, catalogue = len(items.tokens), self.catalogue
        catalogue = replace(
            catalogue,
            item_tokens=np.concatenate([catalogue.item_tokens, np.array(items.tokens, dtype=object)]),
            titles=catalogue.titles + items.titles,
            seen=torch.cat([catalogue.seen, torch.zeros(n, dtype=torch.bool)]),
            candidates=torch.cat([catalogue.candidates, torch.ones(n, dtype=torch.bool)]),
            caches={},
        )
        return State(
            catalogue,
            with_items(self.model, items.new, kept),
            {name: replace(part, ids=items.ids.get(name)) for name, part in self.parts.items()},
            self.changes.with_added(items.tokens, items.titles, items.new),
        )

    def without_items(self, rows: Iterable[int]) -> State:
        """Without the items in these rows: those of training stay known, those added since are forgotten."""
        rows = sorted(set(rows))
        forgotten = [row for row in rows if row >= self.changes.n_trained]
        delisted = [row for row in rows if row < self.changes.n_trained]
        state = self._listing(delisted, listed=False) if delisted else self
        return state._forgetting(forgotten) if forgotten else state

    def listed_again(self, rows: Iterable[int]) -> State:
        """With items of training that stand in no list."""
        rows = list(rows)
        return self._listing(rows, listed=True) if rows else self

    def _listing(self, rows: list[int], listed: bool) -> State:
        candidates = self.catalogue.candidates.clone()
        candidates[rows] = listed
        tokens = [str(token) for token in self.catalogue.item_tokens[rows]]
        changes = self.changes.with_listing(tokens, listed)
        return replace(self, catalogue=replace(self.catalogue, candidates=candidates), changes=changes)

    def _forgetting(self, rows: list[int]) -> State:
        stays = torch.ones(len(self.catalogue.seen), dtype=torch.bool)
        stays[rows] = False
        kept, catalogue = stays.nonzero().squeeze(1), self.catalogue
        catalogue = replace(
            catalogue,
            item_tokens=catalogue.item_tokens[kept.numpy()],
            titles=[catalogue.titles[row] for row in kept.tolist()],
            seen=catalogue.seen[kept],
            candidates=catalogue.candidates[kept],
            caches={},
        )
        return State(
            catalogue,
            without_items(self.model, kept),
            {name: replace(part, ids=part.ids and chosen_ids(part.ids, kept)) for name, part in self.parts.items()},
            self.changes.without(rows),
        )
