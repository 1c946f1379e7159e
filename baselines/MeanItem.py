from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import nn


class MeanItem(SequentialRecommender):
    """A user is the mean of the embeddings of the items in the history."""

    input_type = InputType.POINTWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.items = nn.Embedding(self.n_items, config["embedding_size"], padding_idx=0)

    def calculate_loss(self, interaction):
        return nn.functional.cross_entropy(self.full_sort_predict(interaction), interaction[self.ITEM_ID])

    def full_sort_predict(self, interaction):  # scores of all items [B, n_items]
        user = self.items(interaction[self.ITEM_SEQ]).sum(1) / interaction[self.ITEM_SEQ_LEN][:, None]
        return user @ self.items.weight.T
