"""Eq. 2 for given items: how probable a generative model holds their ids, whether it would generate them or not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recbole_specgr.backbones.t5 import T5
from recbole_specgr.backbones.token_tree import Memory
from recbole_specgr.decoding.beam_search import NOTHING
from recbole_specgr.decoding.verifier import Verifier
from recbole_specgr.semantic_ids.prefix_index import PrefixIndex


def likelihoods(
    backbone: T5,
    memory: Memory,
    index: PrefixIndex,
    level_slices: Sequence[slice],
    items: Tensor,
    shortened: Tensor | None = None,
) -> Tensor:
    """Mean log-probability of a digit of each item's id.

    Args:
        memory: of B users.
        index: of the candidates.
        items: candidates `[B, n]`; -1 in the places that are empty.
        shortened: items whose identification digit is left out `[n_items]`; None leaves none out.

    Returns:
        `[B, n]`, -inf in the places that are empty.
    """
    exists = items >= 0
    items = torch.where(exists, items, index.items[0])
    length = torch.full_like(items, index.n_digits)
    if shortened is not None:
        length -= shortened[items].long()
    verifier = Verifier(backbone, memory, index, level_slices, items.size(1))
    return verifier.verify(items, exists, length, NOTHING)[0].masked_fill(~exists, NOTHING)
