"""Decoding as one CUDA graph: the hundreds of kernels of a batch are launched together, as they were recorded.

A graph is of one shape and holds the addresses of all that it reads. What the caller names as `constants`, the weights
and the shapes therefore tell one recording from another, and are kept as long as it is.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Run = Callable[..., tuple[Tensor, ...]]
MOST = 16  # recordings that are kept; each holds the memory of its batch
BUCKET = 5  # histories are padded to a multiple of so many items, so that few lengths are recorded


def record_cuda_graph(run: Run, inputs: Sequence[Tensor]) -> Run:
    """Record `run` on inputs of these shapes; what is returned replays it on others and gives copies of its outputs.

    The kernels must depend on shapes alone: `run` may read no value on the host.
    """
    static = [x.clone() for x in inputs]
    side = torch.cuda.Stream(static[0].device)  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream(static[0].device))
    with torch.cuda.stream(side):  # libraries set themselves up in their first call, which can't be recorded
        run(*static)
    torch.cuda.current_stream(static[0].device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run(*static)

    def replay(*inputs: Tensor) -> tuple[Tensor, ...]:
        for own, new in zip(static, inputs, strict=True):
            own.copy_(new)
        graph.replay()
        return tuple(x.clone() for x in outputs)

    return replay


class Replay:
    """Runs functions of tensors, and replays recordings of them for shapes that come again.

    What comes once runs as it is: the last batch of an evaluation is not worth recording.

    Args:
        record: makes a recording, `record_cuda_graph` on a GPU.
        most: recordings to keep; the one that was not used for longest goes.
    """

    def __init__(self, record: Callable[[Run, Sequence[Tensor]], Run] = record_cuda_graph, most: int = MOST) -> None:
        self.record, self.most = record, most
        self.recordings: OrderedDict[Hashable, tuple[Run | None, Any]] = OrderedDict()
        self.lock = threading.Lock()  # a recording's inputs and outputs have one place each

    def __call__(
        self, run: Run, module: nn.Module, constants: Sequence[Hashable], inputs: Sequence[Tensor]
    ) -> tuple[Tensor, ...]:
        """`run(*inputs)`.

        Args:
            run: reads nothing but its inputs, the parameters of `module` and `constants`.
            constants: what it depends on otherwise. A tensor is told by its place in memory, anything else by its
                hash; objects without a value of their own, such as an index, by identity.
        """
        weights = tuple(module.parameters())
        key = (
            *(x.data_ptr() if isinstance(x, Tensor) else x for x in constants),
            *(x.data_ptr() for x in weights),
            *((x.shape, x.dtype) for x in inputs),
        )
        with self.lock:
            if key not in self.recordings:
                self.recordings[key] = None, (constants, weights)  # kept, so that no other gets the same place
                if len(self.recordings) > self.most:
                    self.recordings.popitem(last=False)
                return run(*inputs)
            recording, kept = self.recordings[key]
            if recording is None:
                recording = self.record(run, inputs)
                self.recordings[key] = recording, kept
            self.recordings.move_to_end(key)
            return recording(*inputs)

    def clear(self) -> None:
        """Give the recordings' memory back."""
        with self.lock:
            self.recordings.clear()
