"""What makes ranked lists worthless: scores that are NaN.

Decoding itself reads no value on the host, so that a GPU can record it. It hands on whether a score was NaN, and
whoever takes the lists raises the error with these functions.
"""

from __future__ import annotations

from torch import Tensor


def check_probabilities(is_nan: Tensor) -> None:
    """Raise ValueError where any of a generator's log-probabilities is NaN.

    Args:
        is_nan: BoolTensor `[]`.
    """
    if bool(is_nan):
        raise ValueError(
            "the generative model's probabilities are NaN: its weights have diverged (a lower learning_rate or "
            "clip_grad_norm helps) or its checkpoint is broken"
        )


def check_draft_scores(is_nan: Tensor) -> None:
    """Raise ValueError where any of a drafter's scores is NaN.

    Args:
        is_nan: BoolTensor `[]`.
    """
    if bool(is_nan):
        raise ValueError("the drafter's scores hold NaN: its weights or its item vectors are broken")
