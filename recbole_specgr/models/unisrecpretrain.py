from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.data.joined_rows import JoinedRows
from recbole_specgr.items.items import Items
from recbole_specgr.models.losses import contrastive_loss
from recbole_specgr.models.unisrec import UniSRec
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.processes import gather_rows, share_rows


class UniSRecPretrain(UniSRec):
    """UniSRec's pre-training on the training rows of several data sets; `UniSRec` starts from it (`pretrained`).

    Hou et al., KDD 2022: histories are contrasted with next items, and with themselves after some of their items are
    dropped, among the rows of batches that mix the data sets. The paper's dropping of words is left out. What is
    validated and tested is how it ranks the items of the run's own data set.
    """

    compares_rows = True
    joins_datasets = "pretrain_datasets"
    trains_on = ("rows",)

    def __init__(self, config: Config, dataset: Dataset, text_vectors: np.ndarray) -> None:
        super().__init__(config, dataset, text_vectors)
        self.sequence_weight, self.drop_share = config["sequence_weight"], config["drop_share"]
        if config["pretrain_datasets"] and config["text_encoder"] == "lsa":
            raise UserError(
                "[pretrain_datasets] need text vectors of one encoder, and lsa is fitted to each data set anew. Give "
                "--text_encoder=NAME or a file that every data set's folder has."
            )
        if config["pretrain_datasets"] and config["text_pca"]:
            raise UserError(
                f"[text_pca: {config['text_pca']}]: [pretrain_datasets] need text vectors of one space, and principal "
                f"components are those of each data set. Leave it out."
            )
        self.others: list[tuple[InductiveDataset, Tensor]] = []
        self.joined_features = self.features

    def join(self, others: Sequence[tuple[InductiveDataset, Items]]) -> None:
        """Keep the views and their items' text vectors. Raises UserError for vectors of another width."""
        for view, items in others:
            vectors = torch.from_numpy(items.text_vectors)
            if vectors.size(1) != self.features.size(1):
                raise UserError(
                    f"[pretrain_datasets: {view.dataset_name}]: its text vectors are {vectors.size(1)} wide, those of "
                    f"{self.dataset_name} {self.features.size(1)}. Encode both with one text_encoder."
                )
            self.others.append((view, vectors))

    def training_rows(self, view: InductiveDataset) -> JoinedRows:
        """The rows of all data sets, with their items' text vectors in `joined_features`."""
        self.joined_features = torch.cat([self.features, *(vectors.to(self.features) for _, vectors in self.others)])
        return JoinedRows([view, *(other for other, _ in self.others)])

    def calculate_loss(self, interaction: Interaction) -> dict[str, Tensor]:
        """The sequence-item loss plus `sequence_weight` times the sequence-sequence loss, of all processes' rows.

        An item's text is adapted once a step, by one of the processes.
        """
        items, length = self.history(interaction)
        distinct, place = gather_rows(interaction[self.ITEM_ID]).unique(return_inverse=True)
        used = torch.cat([gather_rows(items.flatten()), distinct]).unique()
        table = share_rows(self.adaptor, self.joined_features[used])
        embedded = table[torch.searchsorted(used, items.contiguous())]
        users = gather_rows(self.project(self.encode(embedded, items, length)))
        targets = self.project(table[torch.searchsorted(used, distinct)])
        less = gather_rows(self.project(self.encode(*dropped(embedded, items, length, self.drop_share))))
        own = torch.arange(len(users), device=users.device)
        return {
            "item": contrastive_loss(users, targets, place, self.temperature),
            "sequence": self.sequence_weight * F.cross_entropy(users @ less.T / self.temperature, own),
        }


def dropped(embedded: Tensor, items: Tensor, length: Tensor, share: float) -> tuple[Tensor, Tensor, Tensor]:
    """Histories without a random `share` of their items, at least one of which stays.

    Args:
        embedded: `[B, S, d]`.
        items: ids `[B, S]`, padded on the right.
        length: `[B]`.
    """
    inside = torch.arange(items.size(1), device=items.device) < length[:, None]
    kept = inside & (torch.rand(items.shape, device=items.device) >= share)
    last = F.one_hot(length - 1, items.size(1)).bool()
    kept |= last & ~kept.any(1, keepdim=True)
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)
    count = kept.sum(1)
    stays = torch.arange(items.size(1), device=items.device) < count[:, None]
    return embedded.gather(1, order[:, :, None].expand_as(embedded)), items.gather(1, order).where(stays, 0), count
