from __future__ import annotations

from recbole_specgr.models.tiger import TIGER


class DSI(TIGER):
    """TIGER over ids from hierarchical k-means: a digit for each depth of the tree, the last for the place in a leaf.

    Tay et al., "Transformer Memory as a Differentiable Search Index", NeurIPS 2022, as the SpecGR paper's second
    backbone (Table 4). What is different from TIGER stands in its property file.
    """
