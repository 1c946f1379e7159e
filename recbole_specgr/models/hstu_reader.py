"""What `HSTU` and `TextHSTU` share: how a batch's histories are read with their times, and the loss."""

from __future__ import annotations

from recbole.config import Config
from recbole.data.interaction import Interaction
from torch import Tensor, nn

from recbole_specgr.backbones.hstu import HSTUEncoder
from recbole_specgr.models.losses import ranking_loss, sampled_ranking_loss
from recbole_specgr.system.errors import UserError


class HSTUReader(nn.Module):
    """HSTU's encoder with the settings of a model, handed the times that a batch has.

    Args:
        longest: of the histories.

    Attributes:
        time_field: the batch's field of the times of a history's interactions, in whole seconds.
        history_columns: this field, where the times are read.

    Raises:
        UserError: the width can't be divided among the heads.
    """

    def __init__(self, config: Config, longest: int) -> None:
        super().__init__()
        width, heads = config["hidden_size"], config["n_heads"]
        if width % heads:
            raise UserError(
                f"hidden_size [{width}] must be a multiple of n_heads [{heads}], for every head has an equal share of "
                f"it."
            )
        self.time_field = config["TIME_FIELD"] + config["LIST_SUFFIX"]
        self.history_columns: tuple[str, ...] = (self.time_field,) if config["relative_time"] else ()
        self.encoder = HSTUEncoder(
            width, config["n_layers"], heads, longest, config["dropout"], config["relative_time"]
        )

    def forward(self, embedded: Tensor, interaction: Interaction) -> Tensor:
        """Embedded histories `[B, S, width]` -> the state after each position `[B, S, width]`."""
        if self.time_field not in interaction:
            return self.encoder(embedded, None)
        return self.encoder(embedded, interaction[self.time_field][:, : embedded.size(1)])


def item_loss(users: Tensor, items: Tensor, targets: Tensor, temperature: float, negatives: int | None) -> Tensor:
    """The softmax over all items, or over `negatives` of them and the target; arguments as in `models.losses`."""
    if negatives is None:
        return ranking_loss(users, items, targets, temperature)
    return sampled_ranking_loss(users, items, targets, temperature, negatives)
