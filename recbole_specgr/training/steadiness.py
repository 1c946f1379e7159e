"""Whether a user's list depends on the user alone, as every metric takes for granted."""

from __future__ import annotations

from logging import getLogger

from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.models.contract import RankedList
from recbole_specgr.models.ranking import Ranker

FEW = 32  # users that are asked again
OTHER = 0.5  # of their lists, which rounding alone does not change


def warn_of_unsteady_lists(ranker: Ranker, interaction: Interaction, ranked: RankedList, candidates: Tensor) -> None:
    """Rank the first users of a batch once more, without the others, and warn where most lists are other ones.

    Args:
        interaction: the batch, B users on the model's device.
        ranked: their lists `[B, K]`.
        candidates: BoolTensor [n_items].
    """
    k = ranked.items.size(1)
    again = ranker.rank(interaction[slice(0, FEW)], k, candidates).items
    other = float((again != ranked.items[: len(again)]).any(1).float().mean())
    if other > OTHER:
        getLogger().warning(
            f"{other:.0%} of the first lists of test come out otherwise when their users are asked again without the "
            f"rest of the batch: {type(ranker.model).__name__} ranks by chance, or by who else is asked. Its results "
            f"can't be had again. Dropout and batch statistics belong into training alone (self.training)."
        )
