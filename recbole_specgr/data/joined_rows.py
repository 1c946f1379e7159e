"""The training rows of several data sets as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.data.dataset import InductiveDataset


class JoinedRows:
    """What a BatchLoader takes: rows of several views, one view after the other.

    The items of a view are numbered on from those of the view before it; the first view's keep their ids. 0 is padding.

    Args:
        views: train views with histories of one length and the same names of fields.
    """

    def __init__(self, views: Sequence[InductiveDataset]) -> None:
        self.views = views
        self.ends = torch.tensor([len(view) for view in views]).cumsum(0)
        self.starts = self.ends - torch.tensor([len(view) for view in views])
        items = torch.tensor([view.item_num for view in views])
        self.first_item = items.cumsum(0) - items

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: Tensor, join: bool = False) -> Interaction:
        """The rows of `index` [B] as one batch: item_id [B], item_id_list [B, L] padded right, item_length [B]."""
        which = torch.bucketize(index, self.ends, right=True)
        item, items, length = self._fields()
        parts = [view.__getitem__(index[which == n] - self.starts[n], False) for n, view in enumerate(self.views)]
        place = torch.cat([(which == n).nonzero().squeeze(1) for n in range(len(self.views))]).argsort()
        columns = {}
        for field in (item, items, length):
            values = [part[field] for part in parts]
            if field != length:
                values = [torch.where(ids > 0, ids + first, 0) for ids, first in zip(values, self.first_item)]
            columns[field] = torch.cat(values)[place]
        return Interaction(columns)

    def _fields(self) -> tuple[str, str, str]:
        view = self.views[0]
        return view.iid_field, view.item_id_list_field, view.item_list_length_field
