"""What the tests of training share: a small model, short settings, and comparisons."""

from pathlib import Path

import torch
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import nn

SHORT = {"train_batch_size": 64, "topk": [5, 10], "valid_metric": "NDCG@10", "epochs": 3, "learning_rate": 0.01}
NARROW = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 2}  # RecBole's models


class MeanOfHistory(SequentialRecommender):
    """A small inductive model of our kind: two named losses, dropout, ranked lists."""

    inductive = True
    input_type = InputType.POINTWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.items = nn.Embedding(self.n_items, 8, padding_idx=0)
        self.out = nn.Linear(8, 8)
        self.dropout = nn.Dropout(0.3)
        self.started = []
        self.batch_sizes = set()

    def start_stage(self, stage):
        self.started.append(stage)

    def scores(self, interaction):
        items, length = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        user = self.out(self.dropout(self.items(items).sum(1) / length[:, None]))
        return user @ self.items.weight.T

    def calculate_loss(self, interaction):
        self.batch_sizes.add(len(interaction))
        scores = self.scores(interaction)
        return {
            "softmax": nn.functional.cross_entropy(scores.float(), interaction[self.ITEM_ID]),
            "size": 0.01 * scores.float().square().mean(),
        }

    def full_sort_topk(self, interaction, k, candidates):
        return self.scores(interaction).masked_fill(~candidates, -torch.inf).topk(k).indices


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())
