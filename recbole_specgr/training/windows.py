"""Training on windows of histories: stretches of a user's interactions, in which every position is learned at once.

The rule. A window reads up to W interactions of a user in a row, W being `MAX_ITEM_LIST_LENGTH`, and learns at each of
its positions what came next. The first window of a user starts with the user's first interaction, so each of its up to
W targets has its whole history. Every later window reads W interactions and learns the `W - H + 1` targets that follow
those of the window before it, where `H = ceil(W / 2)`; what it reads before them is their history. So

- every training target is learned exactly once an epoch;
- its history is the latest part of what a row has of it: at least H interactions, or all where there are fewer;
- the last window of a user reads as far back as a window can.
"""

from __future__ import annotations

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.data.times import in_seconds
from recbole_specgr.system.errors import UserError


class Windows:
    """The windows of a training view. `__getitem__` gives those of an index as one batch.

    Args:
        view: the train view.

    Attributes:
        first: LongTensor `[M]`, where each window starts among all interactions in the order of (user, time).
        length: LongTensor `[M]`, how many interactions it reads.
        learns_from: LongTensor `[M]`, the place of its first target. Those before it are another window's.
        targets: LongTensor `[M]`, how many targets it has.

    Raises:
        UserError: a window would be shorter than 2.
    """

    def __init__(self, view: InductiveDataset) -> None:
        width = view.max_item_list_len
        if width < 2:
            raise UserError(
                f"[MAX_ITEM_LIST_LENGTH: {width}]: a window of one interaction is a row. Take a longer one, or "
                f"--train_on=rows."
            )
        users, items, times = view.interactions
        self.users, self.items = torch.from_numpy(users), torch.from_numpy(items)
        self.times = torch.from_numpy(in_seconds(times))
        self.fields = view.uid_field, view.item_id_list_field, view.item_list_length_field, view.iid_field
        self.time_field = view.time_list_field
        self.is_target = torch.zeros(len(items) + 1, dtype=torch.bool)
        self.is_target[view.rows] = True
        windows = _cut(view.rows.numpy(), view.starts.numpy(), width)
        learned = np.append(0, np.cumsum(self.is_target.numpy()))
        targets = learned[windows[:, 1] + 1] - learned[windows[:, 2]]
        kept = torch.from_numpy(np.column_stack([windows, targets])[targets > 0])
        self.first, self.learns_from, self.targets = kept[:, 0], kept[:, 2], kept[:, 3]
        self.length = kept[:, 1] - kept[:, 0]

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, index: Tensor) -> Interaction:
        """The windows of `index` `[B]`: user_id `[B]`, item_id_list and timestamp_list `[B, S]` padded with 0 on the
        right, item_length `[B]`, and item_id `[B, S]`, what came after each position; 0 where nothing is learned. S is
        the longest's."""
        length = self.length[index]
        offset = torch.arange(int(length.max()))
        place = self.first[index, None] + offset
        inside = offset < length[:, None]
        after = (place + 1).where(inside, len(self.items))
        learned = self.is_target[after] & (after >= self.learns_from[index, None])
        user, history, lengths, target = self.fields
        return Interaction(
            {
                user: self.users[self.first[index]],
                history: self.items[place.where(inside, 0)].where(inside, 0),
                self.time_field: self.times[place.where(inside, 0)].where(inside, 0),
                lengths: length,
                target: self.items[after.where(learned, 0)].where(learned, 0),
            }
        )


def _cut(rows: np.ndarray, starts: np.ndarray, width: int) -> np.ndarray:
    """The windows that the rule gives, in the order of users and time.

    Args:
        rows: places of the targets among all interactions, in any order.
        starts: place of the first interaction of each target's user.
        width: W.

    Returns:
        int64 `[M, 3]`: where a window starts, the place of its last target (which it does not read), the place of the
        first target that is its own.
    """
    begin, user = np.unique(starts, return_inverse=True)
    last = np.zeros(len(begin), dtype=np.int64)
    np.maximum.at(last, user, rows)
    advance = width - (width + 1) // 2 + 1
    beyond = np.maximum(0, last - begin - width)  # targets that the first window does not reach
    later = -(-beyond // advance)
    number = np.arange(int((later + 1).sum())) - np.repeat(np.cumsum(later + 1) - later - 1, later + 1)
    begin, last = np.repeat(begin, later + 1), np.repeat(last, later + 1)
    learns_from = np.where(number == 0, begin + 1, begin + width + 1 + (number - 1) * advance)
    end = np.minimum(last, begin + width + number * advance)
    return np.column_stack([np.maximum(begin, end - width), end, learns_from])
