"""What tests of recommendations share: new items, a run without its unseen items, and lists compared up to ties."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_specgr.serving import Recommendations, Recommender
from recbole_specgr.serving.changes import Changes

HISTORIES = [[f"i{n * step % 80}" for step in range(1, 2 + n % 13)] for n in range(1, 90)]


NEW = pd.DataFrame(
    {
        "item_id": ["n1", "n2", "n3", "n4"],
        "title": ["The night river 99", "The king stone", "", "A road"],
        "genre": ["action", "western", "drama", "horror"],
        "description": ["A action about a ship", None, "A drama about a letter", "A horror about a road"],
    }
)


def content(run: Path) -> dict[str, str]:
    """Every file of a folder and a digest of what is in it."""
    return {
        str(file.relative_to(run)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(run.rglob("*"))
        if file.is_file()
    }


def forget_unseen(recommender: Recommender) -> list[str]:
    """Leave a recommender as if its run's data had never had the unseen items; returns them, in their order."""
    state = recommender._state
    unseen = [row for row in range(1, len(state.catalogue.seen)) if not state.catalogue.seen[row]]
    tokens = state.catalogue.item_tokens[unseen].tolist()
    as_if_added = replace(state, changes=replace(state.changes, n_trained=1))
    without = as_if_added.without_items(unseen)
    recommender._state = replace(without, changes=Changes.none(without.catalogue))
    return tokens


def assert_same(first: Recommendations, second: Recommendations) -> None:
    """The same to the last digit."""
    assert first.items == second.items
    np.testing.assert_array_equal(first.scores, second.scores)
    np.testing.assert_array_equal(first.rounds, second.rounds)


def assert_same_up_to_ties(first: Recommendations, second: Recommendations, tolerance: float = 1e-6) -> None:
    """The same scores at every place, and the same items wherever no other item has the same score."""
    np.testing.assert_allclose(first.scores, second.scores, atol=tolerance)
    for ours, theirs, scores in zip(first.items, second.items, first.scores):
        assert len(ours) == len(theirs)
        scores = scores[: len(ours)]
        if np.isnan(scores).any():
            assert ours == theirs
            continue
        above_the_cut = scores > scores[-1] + 2 * tolerance if len(scores) else scores
        groups = np.cumsum(np.r_[False, np.abs(np.diff(scores)) > 2 * tolerance])[above_the_cut]
        for group in np.unique(groups):
            places = np.flatnonzero(groups == group)
            assert {ours[place] for place in places} == {theirs[place] for place in places}
