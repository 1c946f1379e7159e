"""What tests of recommendations share: a run without its unseen items, and lists compared up to ties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recbole_specgr.serving import Recommendations, Recommender
from recbole_specgr.serving.changes import Changes


def forget_unseen(recommender: Recommender) -> list[str]:
    """Leave a recommender as if its run's data had never had the unseen items; returns them, in their order."""
    state = recommender._state
    unseen = [row for row in range(1, len(state.catalogue.seen)) if not state.catalogue.seen[row]]
    tokens = state.catalogue.item_tokens[unseen].tolist()
    as_if_added = replace(state, changes=replace(state.changes, n_trained=1))
    without = as_if_added.without_items(unseen)
    recommender._state = replace(without, changes=Changes.none(without.catalogue))
    return tokens


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
