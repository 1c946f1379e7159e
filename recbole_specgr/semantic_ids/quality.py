"""What codes keep of the items' text and of who used them: reconstruction, and neighbours in three spaces."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from recbole_specgr.semantic_ids.codes import SemanticIds
from recbole_specgr.semantic_ids.tokenizers.contract import Tokenizer

K = 10  # neighbours of an item


def reconstruction_errors(tokenizer: Tokenizer, ids: SemanticIds, features: np.ndarray, seen: np.ndarray) -> dict:
    """Squared distance of features [n_items, d] and what their codes stand for, relative to the variance.

    Returns:
        seen, unseen: 0 for perfect codes, 1 for codes that say nothing; None where there are no such items.
    """
    codes, wanted = ids.codes[1:, :-1].cpu().numpy(), features[1:]
    error = np.square(tokenizer.reconstruct(codes) - wanted).sum(axis=1)
    spread = np.square(wanted - wanted[seen[1:]].mean(axis=0)).sum(axis=1)

    def relative(mask: np.ndarray) -> float | None:
        return float(error[mask].sum() / max(spread[mask].sum(), 1e-12)) if mask.any() else None

    return {"seen": relative(seen[1:]), "unseen": relative(~seen[1:])}


@dataclass
class Neighbours:
    """`K` neighbours of each sampled item, among the seen items, in text and in use.

    Attributes:
        sample: int [S], items whose neighbours are looked at, all seen or all unseen; each has text.
        pool: int [P], the seen items, which are the possible neighbours.
        text: int [S, K], the nearest by cosine.
        together: int [S, K], the items that share most users, relative to how often they are used; 0 where there are
            fewer, as for an unseen item, which has no users.
    """

    sample: np.ndarray
    pool: np.ndarray
    text: np.ndarray
    together: np.ndarray

    @classmethod
    def of(
        cls,
        features: np.ndarray,
        seen: np.ndarray,
        users: np.ndarray,
        items: np.ndarray,
        seed: int,
        most: int = 1000,
        unseen: np.ndarray | None = None,
    ) -> "Neighbours | None":
        """Neighbours, among the seen items, of up to `most` seen items, or of as many unseen ones.

        Args:
            features: float [n_items, d].
            seen: bool [n_items].
            users, items: int [N], the training interactions.
            unseen: bool [n_items], the items to look at in place of the seen ones; the padding item does not count.

        Returns:
            None where there are too few items.
        """
        pool = np.flatnonzero(seen)
        used = csr_matrix((np.ones(len(items), dtype=np.float32), (items, users)), shape=(len(seen), users.max() + 1))
        used.data[:] = 1
        frequency = np.asarray(used.sum(axis=1)).ravel()[pool]
        length = np.linalg.norm(features, axis=1)
        asked_for = pool if unseen is None else np.flatnonzero(unseen & ~seen)
        can = asked_for[length[asked_for] > 0]
        if len(pool) <= K + 1 or not len(can):
            return None
        sample = np.sort(np.random.default_rng(seed).permutation(can)[:most])
        unit = features / np.maximum(length, 1e-12)[:, None]
        text, together = np.zeros((len(sample), K), dtype=np.int64), np.zeros((len(sample), K), dtype=np.int64)
        users_of_pool = used[pool].T.tocsr()
        for rows in np.array_split(np.arange(len(sample)), -(-len(sample) // 64)):
            asked = sample[rows]
            cosine = unit[asked] @ unit[pool].T
            cosine[asked[:, None] == pool] = -np.inf
            text[rows] = pool[_largest(cosine)]
            shared = (used[asked] @ users_of_pool).toarray() / np.sqrt(np.maximum(frequency, 1))
            shared[asked[:, None] == pool] = 0
            best = _largest(shared)
            together[rows] = np.where(np.take_along_axis(shared, best, axis=1) > 0, pool[best], 0)
        return cls(sample, pool, text, together)

    def of_use_in_text(self) -> float | None:
        """Share of an item's neighbours in use that are its neighbours in text: what text alone knows of use."""
        return _mean((self.together[:, :, None] == self.text[:, None]).any(axis=2), self.together > 0)

    def by_prefix(self, ids: SemanticIds) -> list[dict[str, float | None]]:
        """Which pairs have their first 1, 2, ... codes in common.

        Returns:
            for each length the share of the neighbours in text, of those in use (together), and of any pairs.
        """
        codes, shares = ids.codes[:, :-1].cpu().numpy(), []
        for length in range(1, codes.shape[1] + 1):
            _, prefix = np.unique(codes[:, :length], axis=0, return_inverse=True)
            prefix = prefix.reshape(-1)
            like = np.bincount(prefix[self.pool], minlength=prefix.max() + 1)[prefix[self.sample]] - self._in_pool
            shares.append(
                {
                    "text": _mean(prefix[self.text] == prefix[self.sample, None], self.text > 0),
                    "together": _mean(prefix[self.together] == prefix[self.sample, None], self.together > 0),
                    "any": float((like / self._others).mean()),
                }
            )
        return shares

    def in_code_space(self, ids: SemanticIds, tokenizer: Tokenizer) -> dict[str, float | None]:
        """The share of an item's neighbours in text, and in use, that are among its K nearest in code space.

        Near in code space are items whose codes stand for near vectors; of the items of one tuple each counts in
        part where not all have room. Tuples at equal distance are taken in the order of their codes.

        Returns:
            text, together, and chance, which codes that say nothing would reach.
        """
        tuples, group = np.unique(ids.codes[:, :-1].cpu().numpy(), axis=0, return_inverse=True)
        group = group.reshape(-1)
        vectors = tokenizer.reconstruct(tuples).astype(np.float64)
        squares = np.square(vectors).sum(axis=1)
        members = np.bincount(group[self.pool], minlength=len(tuples))
        weight = {"text": np.zeros(self.text.shape), "together": np.zeros(self.together.shape)}
        in_pool = self._in_pool
        for row, item in enumerate(self.sample):
            distance = squares - 2 * vectors @ vectors[group[item]]
            others = members - in_pool[row] * (np.arange(len(tuples)) == group[item])
            order = np.argsort(distance, kind="stable")
            order = order[others[order] > 0]
            before = np.cumsum(others[order]) - others[order]
            near = np.zeros(len(tuples))  # how much a member of each group counts
            near[order] = np.clip((K - before) / others[order], 0, 1)
            for name, neighbours in (("text", self.text), ("together", self.together)):
                weight[name][row] = near[group[neighbours[row]]]
        return {
            "text": _mean(weight["text"], self.text > 0),
            "together": _mean(weight["together"], self.together > 0),
            "chance": float((K / self._others).mean()),
        }

    @property
    def _in_pool(self) -> np.ndarray:
        """int [S]: 1 where an item is itself in the pool, and so no neighbour of its own; 0 for an unseen one."""
        return np.isin(self.sample, self.pool).astype(np.int64)

    @property
    def _others(self) -> np.ndarray:
        """int [S]: how many items could be a neighbour of each."""
        return len(self.pool) - self._in_pool


def _largest(scores: np.ndarray) -> np.ndarray:
    """Columns int [S, K] of the K largest of each row of scores [S, P], the largest first."""
    best = np.argpartition(-scores, K - 1, axis=1)[:, :K]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def _mean(values: np.ndarray, where: np.ndarray) -> float | None:
    return float(values[where].mean()) if where.any() else None
