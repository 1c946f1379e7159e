"""Optimised product quantisation (Ge et al. 2013): a rotation, and k-means in each of as many sub-spaces as levels."""

from dataclasses import dataclass

import numpy as np
from tqdm import trange

from recbole_specgr.semantic_ids.additive import AdditiveQuantizer, sum_of_codes
from recbole_specgr.semantic_ids.kmeans import kmeans, principal_components
from recbole_specgr.system.errors import UserError

NO_VARIANCE = 1e-5  # a standard deviation below this share of the largest is rounding


@dataclass
class OPQ(AdditiveQuantizer):
    """Product quantiser of the rotated principal components: each level codes a sub-space of its own.

    The levels do not depend on each other: no prefix is coarser than another digit, and every level is used evenly.
    `components` is rounded down to a multiple of `levels`.

    Attributes:
        whiten: bring every principal component to variance 1 first, so that the sub-spaces are equally important. What
            the vectors differ in most then no longer decides most digits. Long ids are made so (Hou et al., "Generating
            Long Semantic IDs in Parallel for Recommendation", KDD 2025).
        rotations: alternations of rotation and codebooks (by faiss); 0 leaves the principal components as they are,
            dealt out to the sub-spaces so that each has about the same variance.
        iterations: Lloyd steps of a sub-space's final codebook.
        restarts: random starts of it, of which the best is kept.
    """

    whiten: bool = False
    rotations: int = 20
    iterations: int = 50
    restarts: int = 3

    method = "opq"

    def _n_components(self, width: int) -> int:
        n = super()._n_components(width) // self.levels * self.levels
        if n == 0:
            raise UserError(
                f"tokenizer.method opq needs as many components as levels, but there are "
                f"{super()._n_components(width)} for tokenizer.levels {self.levels}."
            )
        return n

    def _fit_codebooks(self, points: np.ndarray, seed: int, show_progress: bool) -> np.ndarray:
        if self.whiten:
            whitening = self._whitening(points)
            self.projection, points = self.projection @ whitening, points @ whitening
        rotation = deal_out(points.var(axis=0), self.levels)
        if self.rotations and points.shape[1] > self.levels:
            rotation = rotation @ self._optimal_rotation(points @ rotation)
        self.projection = np.ascontiguousarray(self.projection @ rotation)
        points = points @ rotation
        width = points.shape[1] // self.levels
        codebooks = np.zeros((self.levels, self.codebook_size, points.shape[1]), dtype=np.float32)
        for level in trange(self.levels, desc="OPQ", unit="level", disable=not show_progress or None):
            part = slice(level * width, (level + 1) * width)
            codebooks[level, :, part] = kmeans(
                points[:, part], self.codebook_size, seed + level, self.iterations, self.restarts
            )
        return codebooks

    def _whitening(self, points: np.ndarray) -> np.ndarray:
        """float32 [c, c]: points @ it are uncorrelated, each dimension with variance 1."""
        axes = principal_components(points, points.shape[1])
        deviation = (points @ axes).std(axis=0, dtype=np.float64)
        vary = int((deviation > NO_VARIANCE * deviation.max()).sum())
        if vary < len(deviation):
            raise UserError(
                f"tokenizer.opq.whiten: the seen items' vectors vary in {vary} directions, fewer than the "
                f"{len(deviation)} that tokenizer.opq.components {self.components} asks for. Set it to {vary} or fewer."
            )
        return (axes / deviation).astype(np.float32)

    def _reconstruct(self, codes: np.ndarray) -> np.ndarray:
        if not self.whiten:
            return super()._reconstruct(codes)
        return sum_of_codes(codes, self.codebooks) @ np.linalg.pinv(self.projection) + self.mean

    def _optimal_rotation(self, points: np.ndarray) -> np.ndarray:
        """float32 [c, c]: points @ it is best suited to a product quantiser (of 2**bits <= codebook_size codes)."""
        import faiss

        width = points.shape[1]
        transform = faiss.OPQMatrix(width, self.levels)
        quantizer = faiss.ProductQuantizer(width, self.levels, int(np.log2(self.codebook_size)))
        quantizer.cp.min_points_per_centroid = 1  # fewer are no reason for a warning
        transform.pq, transform.niter = quantizer, self.rotations
        transform.train(np.ascontiguousarray(points))
        return faiss.vector_to_array(transform.A).reshape(width, width).T.copy()


def deal_out(variances: np.ndarray, levels: int) -> np.ndarray:
    """Permutation float32 [c, c] that deals c dimensions out to `levels` sub-spaces of equal width.

    The dimension of the largest variance goes first, each to the open sub-space with the smallest product of variances.
    """
    n = len(variances)
    groups: list[list[int]] = [[] for _ in range(levels)]
    load = np.zeros(levels)
    for dimension in np.argsort(-variances, kind="stable"):
        full = np.array([len(group) * levels >= n for group in groups])
        least = int(np.where(full, np.inf, load).argmin())
        groups[least].append(int(dimension))
        load[least] += np.log(max(variances[dimension], 1e-12)) - np.log(1e-12)
    permutation = np.zeros((n, n), dtype=np.float32)
    permutation[np.concatenate(groups), np.arange(n)] = 1
    return permutation
