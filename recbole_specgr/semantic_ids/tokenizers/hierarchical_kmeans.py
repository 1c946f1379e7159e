"""Hierarchical k-means (Tay et al. 2022, DSI): clusters within clusters, a code for each depth of the tree."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from tqdm import trange

from recbole_specgr.semantic_ids.kmeans import kmeans, nearest, nearest_few
from recbole_specgr.semantic_ids.tokenizers.contract import Tokenizer
from recbole_specgr.system.errors import UserError


@dataclass
class HierarchicalKMeans(Tokenizer):
    """k-means of all items, then of each cluster's items, `levels` deep; the codes are the path from the root.

    A code means something below its own parent only.  The identification digit is the item's place in its leaf.  DSI's
    ids end where a cluster is small; here they are of one length, and a cluster that needs no more splitting has one
    child, code 0.

    Attributes:
        branching: children of a node; None: the n-th root of its number of items, n being the levels from there on, so
            that every level tells about as much and the leaves end up with about one item.  Never above codebook_size.
        iterations: Lloyd steps a node.
    """

    branching: int | None = None
    iterations: int = 25

    method = "hierarchical_kmeans"
    least_items = 1
    # None until it is fitted, which `Tokenizer` asks before it encodes.
    centres = cast("np.ndarray", None)  # float32 [nodes, d]; node 0 is the root, children follow one another by level
    first_child = cast("np.ndarray", None)  # int64 [nodes], 0 for a leaf
    n_children = cast("np.ndarray", None)  # int64 [nodes], 0 for a leaf

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.branching is not None and self.branching < 2:
            raise UserError(f"tokenizer.hierarchical_kmeans.branching must be at least 2, not {self.branching}.")

    @property
    def n_features(self) -> int:
        """Width of the vectors it was fitted on."""
        return self.centres.shape[1]

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Most children of a node, for each level; codebook_size before the fit."""
        return self.possible_codes or super().codebook_sizes

    @property
    def possible_codes(self) -> tuple[int, ...] | None:
        """Most children of a node of each level: a tree gives a level no more codes than that."""
        if self.centres is None:
            return None
        sizes, start, end = [], 0, 1
        for _ in range(self.levels):
            children = self.n_children[start:end]
            sizes.append(int(children.max()))
            start, end = end, end + int(children.sum())
        return tuple(sizes)

    def _fit(self, features: np.ndarray, seed: int, show_progress: bool, device: torch.device | str) -> None:
        centres, first_child, n_children = [features.mean(axis=0)], [0], [0]
        nodes = [(0, np.arange(len(features)))]  # of the level above: number, rows of its items
        for level in trange(self.levels, desc="hierarchical k-means", unit="level", disable=not show_progress or None):
            below = []
            for node, rows in nodes:
                children = self._split(features[rows], self.levels - level, seed + node)
                first_child[node], n_children[node] = len(centres), len(children)
                child = nearest(features[rows], children)[0]
                for number, centre in enumerate(children):
                    below.append((len(centres), rows[child == number]))
                    centres.append(centre)
                first_child += [0] * len(children)
                n_children += [0] * len(children)
            nodes = below
        self.centres = np.stack(centres).astype(np.float32)
        self.first_child, self.n_children = np.array(first_child), np.array(n_children)

    def _split(self, points: np.ndarray, levels_left: int, seed: int) -> np.ndarray:
        """Centres [children, d] of a node's points [n, d], none of them without points."""
        wanted = self.branching or max(2, int(np.ceil(len(points) ** (1 / levels_left) - 1e-9)))
        k = min(wanted, self.codebook_size, len(points))
        if k < 2:
            return points.mean(axis=0, keepdims=True)
        centres = kmeans(points, k, seed, self.iterations)
        used = np.bincount(nearest(points, centres)[0], minlength=k) > 0  # equal points leave some empty
        return centres[used]

    def _encode(self, features: np.ndarray) -> np.ndarray:
        codes, node = [], np.zeros(len(features), dtype=np.int64)
        for _ in range(self.levels):
            code = np.zeros(len(features), dtype=np.int64)
            order = np.argsort(node, kind="stable")
            starts = np.flatnonzero(np.r_[[True] * bool(len(order)), np.diff(node[order]) > 0])
            for rows in np.split(order, starts[1:]):
                if not len(rows):
                    continue
                first, n = self.first_child[node[rows[0]]], self.n_children[node[rows[0]]]
                if n > 1:
                    code[rows] = nearest(features[rows], self.centres[first : first + n])[0]
            node = self.first_child[node] + code
            codes.append(code)
        return np.stack(codes, axis=1)

    def _reconstruct(self, codes: np.ndarray) -> np.ndarray:
        node = np.zeros(len(codes), dtype=np.int64)
        for code in codes.T:
            node = self.first_child[node] + code
        return self.centres[node]

    def _nearest_codes(self, features: np.ndarray, n: int) -> np.ndarray:
        paths, leaves = np.zeros((1, 0), dtype=np.int64), np.zeros(1, dtype=np.int64)
        for _ in range(self.levels):
            children = self.n_children[leaves]
            code = np.arange(children.sum()) - np.repeat(np.cumsum(children) - children, children)
            paths = np.column_stack([np.repeat(paths, children, axis=0), code])
            leaves = np.repeat(self.first_child[leaves], children) + code
        best, _ = nearest_few(features, self.centres[leaves], None, min(n, len(leaves)))
        return paths[best]

    def state(self) -> dict[str, np.ndarray]:
        """The tree, once fitted."""
        if self.centres is None:
            return {}
        return {"centres": self.centres, "first_child": self.first_child, "n_children": self.n_children}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take back what `state` gave."""
        self.centres, self.first_child, self.n_children = (
            state[name] for name in ("centres", "first_child", "n_children")
        )
