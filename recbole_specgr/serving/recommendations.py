"""What `Recommender.recommend` returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

BY_BEAM, NOT_SPECULATED = 0, -1


class Recommendation(NamedTuple):
    """One item of a list.

    Attributes:
        item: its token.
        score: as the model scores: the mean log-probability of a digit (of the generative models), a cosine or a logit.
            NaN where a model gives a place but no score.
        round: of SpecGR, from 1: the one in which the item was drafted and its draft accepted; 0 for an item of the
            verifier's own list; -1 from a model that does not draft.
    """

    item: str
    score: float
    round: int

    @property
    def drafted(self) -> bool:
        """A drafter proposed it and the generative model accepted it."""
        return self.round > 0


@dataclass(frozen=True)
class Recommendations(Sequence):
    """A list of `Recommendation`, best first, for each history.

    Attributes:
        items: tokens by history; fewer than asked for where there are no more.
        scores: float [N, n], NaN beyond the end of a list; n is k, or how many items may be recommended where those
            are fewer.
        rounds: int [N, n], as `Recommendation.round`.
        unknown: entries of the histories that were left out because there is no such item.
        empty: positions of the histories of which nothing is known, where the model reads them; their lists are empty.
    """

    items: list[list[str]]
    scores: np.ndarray
    rounds: np.ndarray
    unknown: int = 0
    empty: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, position: int) -> list[Recommendation]:  # type: ignore[override]  # there are no slices
        scores, rounds = self.scores[position].tolist(), self.rounds[position].tolist()
        return [Recommendation(*entry) for entry in zip(self.items[position], scores, rounds)]

    def __iter__(self) -> Iterator[list[Recommendation]]:
        return (self[position] for position in range(len(self)))

    def frame(self, users: Sequence[object] | None = None) -> pd.DataFrame:
        """One row an entry: user_id (the history's position where no `users` are named), rank from 1, item_id, score
        and round."""
        users = range(len(self)) if users is None else users
        lengths = [len(items) for items in self.items]
        listed = np.arange(self.scores.shape[1]) < np.array(lengths, dtype=int)[:, None]
        return pd.DataFrame(
            {
                "user_id": np.repeat(np.array(users, dtype=object), lengths),
                "rank": np.nonzero(listed)[1] + 1,
                "item_id": [item for items in self.items for item in items],
                "score": self.scores[listed],
                "round": self.rounds[listed],
            }
        )
