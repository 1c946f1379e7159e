from __future__ import annotations

import torch
import torch.nn.functional as F
from recbole.config import Config as RecBoleConfig
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.data.joined_rows import JoinedRows
from recbole_specgr.models.losses import contrastive_loss
from recbole_specgr.models.unisrec import UniSRec
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.registry import get_dataset_class
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.processes import gather_rows, share_rows
from recbole_specgr.text.features import load_text_features

# What the other data sets have in common with the run's; all else is in their own files.
SHARED = ("data_path", "cache_path", "text_encoder", "text_dim", "timestamp_split", "MAX_ITEM_LIST_LENGTH", "seed")
SHARED += ("use_gpu", "gpu_id", "show_progress", "metrics", "topk", "valid_metric")


class UniSRecPretrain(UniSRec):
    """UniSRec's pre-training on the training rows of several data sets; `UniSRec` starts from it (`pretrained`).

    Hou et al., KDD 2022: histories are contrasted with next items, and with themselves after some of their items are
    dropped, among the rows of batches that mix the data sets. The paper's dropping of words is left out. What is
    validated and tested is how it ranks the items of the run's own data set.
    """

    compares_rows = True
    trains_on = ("rows",)

    def __init__(self, config: RecBoleConfig, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.sequence_weight, self.drop_share = config["sequence_weight"], config["drop_share"]
        self.others = list(config["pretrain_datasets"] or [])
        if self.others and config["text_encoder"] == "lsa":
            raise UserError(
                "[pretrain_datasets] need text vectors of one encoder, and lsa is fitted to each data set anew. Give "
                "--text_encoder=NAME or a file that every data set's folder has."
            )
        shared = config.to_dict()
        self.shared = {key: shared[key] for key in SHARED}
        self.joined_features = self.features

    def training_rows(self, view: Dataset) -> JoinedRows:
        """The rows of all data sets, with their text vectors in `joined_features`. Asked for when training begins."""
        views, features = [view], [self.features.cpu()]
        for name in self.others:
            config = Config(type(self).__name__, name, config_dict=self.shared)
            views.append(get_dataset_class(config)(config).build()[0])
            features.append(torch.from_numpy(load_text_features(config, views[-1])))
            if features[-1].size(1) != features[0].size(1):
                raise UserError(
                    f"[pretrain_datasets: {name}]: its text vectors are {features[-1].size(1)} wide, those of "
                    f"{view.dataset_name} {features[0].size(1)}. Encode both with one text_encoder."
                )
        self.joined_features = torch.cat(features).to(self.features)
        return JoinedRows(views)

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
