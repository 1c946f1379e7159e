"""What takes the place of a CUDA graph where there is no GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from unittest import mock

from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from recbole_specgr.backbones import attention, t5


def record_operations(run: Callable, inputs: Sequence[Tensor]) -> Callable:
    """As `record_cuda_graph`, on a CPU: the tensor operations of one run, with its shapes, to be repeated on others.

    Like a CUDA graph it can't record what depends on a value that the host reads; that is an error.
    """
    with (
        mock.patch.object(attention, "may_mask", lambda bias: True),  # a CPU would look
        mock.patch.object(t5, "may_mask", lambda bias: True),
    ):
        return make_fx(run)(*inputs)
