"""The contract of a model that verifies drafts, over the contract of a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from recbole.config import Config
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_specgr.decoding.checks import check_probabilities
from recbole_specgr.decoding.verification import Verification, VerificationSettings
from recbole_specgr.models.contract import ModelContract, Users
from recbole_specgr.models.explaining import Digit


@dataclass(kw_only=True)
class ReadUsers(Users):
    """What a verifier has read of B users, with what was drafted for them.

    Attributes:
        draft_scores: a drafter's score of every item `[B, n_items]`, for the models that draft.
    """

    draft_scores: Tensor | None = None

    @property
    def memory(self) -> Any:
        """What `Verifier.verification` takes: tensors of B users, however many items will be asked for."""
        raise NotImplementedError


class Verifier(ModelContract):
    """Mixin for a generator that knows how probable the digits of any item are. SpecGR calls it.

    Attributes:
        seen: items of the training data `[n_items]`.
        has_prefixes: it writes an id digit by digit. One that predicts all digits at once has no beams, no prefixes to
            draft below, and counts every digit of every item.
    """

    seen: Tensor
    has_prefixes: bool = True

    @property
    def records_decoding(self) -> bool:
        """`run_decoding` makes recordings, and what it is given may read no value on the host."""
        return False

    def prepare_decoding(self, config: Config) -> None:
        """Take over from the settings of the whole how decoding is computed, such as its precision."""

    def read(self, interaction: Interaction) -> ReadUsers:
        """The users of a batch, read once."""
        raise NotImplementedError

    def encode_users(self, interaction: Interaction) -> Users:
        """To rank users by itself it reads them as it does to verify."""
        return self.read(interaction)

    @property
    def item_codes(self) -> Tensor:
        """The codes of all items, without the identification digit `[n_items, L]`. Called by studies."""
        raise NotImplementedError

    def candidate_items(self, candidates: Tensor) -> Tensor:
        """The items of `candidates` `[n_items]` bool, in the order in which equal drafts come: `[n]`. The answer is the
        same tensor as long as the candidates are the same."""
        raise NotImplementedError

    def verification(
        self, memory: Any, candidates: Tensor, settings: VerificationSettings, static: bool = False
    ) -> Verification:
        """How it judges the candidates `[n_items]` for the users of a memory. `static`: every shape is known beforehand
        and no value is read on the host."""
        raise NotImplementedError

    def run_decoding(
        self,
        decode: Callable[..., tuple[Tensor, ...]],
        users: ReadUsers,
        constants: Sequence[Hashable],
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        """Run `decode(memory of the users, *inputs)`, as a recording where they are made.

        Args:
            decode: reads no value on the host where it is to be recorded.
            constants: what it depends on but the weights and its arguments, as `Replay` takes them.
        """
        return decode(users.memory, *inputs)

    def log_likelihood(
        self, interaction: Interaction, items: Tensor, candidates: Tensor, settings: VerificationSettings
    ) -> Tensor:
        """Eq. 2 of given candidates `[B, n]`, -1 in places that are empty: `[B, n]`, -inf beside -1."""
        return likelihoods(self.verification(self.read(interaction).memory, candidates, settings), items)

    def digits(self, users: ReadUsers, item: int, score_adjustment: bool) -> list[Digit]:
        """The digits of an item's id for the one user in `users`; `score_adjustment` as in `VerificationSettings`."""
        raise NotImplementedError

    def shared_digits(self, item: int) -> Tensor:
        """How many digits each item's id has in common with the item's `[n_items]`; the padding item's 0."""
        raise NotImplementedError


def likelihoods(verification: Verification, items: Tensor) -> Tensor:
    """Eq. 2 of given candidates `[B, n]`, whatever the threshold: `[B, n]`, -inf beside -1.

    Raises:
        ValueError: a probability is NaN.
    """
    scores = verification.log_likelihood(items, -torch.inf)
    check_probabilities(verification.is_nan)
    return scores
