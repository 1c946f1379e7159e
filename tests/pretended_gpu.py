"""A GPU that is only pretended: everything is computed on the CPU, and what a real one would refuse is an error.

Inside `PretendedGpu()` torch says that there is a GPU. Which tensors are on it is kept by their storages, so a view is
where its base is. A tensor made without `device=` is on the CPU, as it would be. Then

- an operation on tensors of both devices raises `MixedDevices`;
- `numpy()` of a tensor on the GPU raises TypeError, as torch does;
- a read of a value by the host, which makes it wait for the GPU, is counted under the place in the package that asked.

Values are there, so code that depends on them runs, and what it gives can be compared with the CPU's.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map_only

GPU, CPU, META = torch.device("cuda", 0), torch.device("cpu"), torch.device("meta")
PACKAGE = f"{Path(__file__).resolve().parent.parent / 'recbole_specgr'}/"
NOT_CALLERS = __file__, str(Path(torch.__file__).parent), "<"

# Operations whose result has a shape, or is a Python value, that only the GPU knows.
READS = {
    "_local_scalar_dense", "nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive",
    "unique_dim_consecutive", "bincount", "equal", "is_nonzero",
}  # fmt: skip
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}
TAKE_A_NUMBER = {*INDEXING, "masked_fill", "masked_fill_", "fill_", "lerp", "lerp_", "searchsorted"}  # of the CPU
NEW = ("new_tensor", "new_zeros", "new_ones", "new_full", "new_empty")
LIKE = ("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "randint_like")


class MixedDevices(RuntimeError):
    """Tensors of two devices met in an operation."""


class PretendedGpu:
    """Use it as a context manager.

    Attributes:
        reads: how often each place of the package, such as `training/meter.py: means`, read a value of the GPU.
    """

    def __init__(self) -> None:
        self.reads: Counter[str] = Counter()
        # A weak reference keeps the address of a storage that is gone from being another's.
        self._devices: dict[int, tuple[StorageWeakRef, torch.device | None]] = {}
        self._stack = ExitStack()
        self._within = threading.local()  # a patched function runs

    def __enter__(self) -> PretendedGpu:
        for target, name, new in self._patches():
            self._stack.enter_context(mock.patch.object(target, name, new))
        self._stack.enter_context(_Watch(self))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    # -- which device --------------------------------------------------------------------------------------------------

    def device_of(self, x: Tensor) -> torch.device | None:
        """None for what an operation of torch made for its own use: it is where it is used."""
        if x.is_meta:
            return META
        _, device = self._devices.get(x.untyped_storage()._cdata, (None, CPU))
        return device

    def put(self, x: Tensor, device: torch.device | None) -> Tensor:
        """Have the tensor on the device, which computes nothing."""
        key = x.untyped_storage()._cdata
        if device == CPU:
            self._devices.pop(key, None)
        else:
            self._devices[key] = StorageWeakRef(x.untyped_storage()), device
        return x

    def read(self) -> None:
        """Count a read of the place in the package that it comes from, else of the caller outside of torch."""
        frames = []
        frame = sys._getframe(1)
        while frame is not None:
            frames.append(frame.f_code)
            frame = frame.f_back
        outside = [code for code in frames if not code.co_filename.startswith(NOT_CALLERS)]
        code = next((code for code in outside if code.co_filename.startswith(PACKAGE)), outside[0])
        self.reads[f"{code.co_filename.removeprefix(PACKAGE)}: {code.co_name}"] += 1

    # -- what is patched -----------------------------------------------------------------------------------------------

    def _patches(self) -> Iterator[tuple[Any, str, Any]]:
        yield torch.Tensor, "device", property(lambda x: self.device_of(x) or CPU)
        yield torch.Tensor, "is_cuda", property(lambda x: self.device_of(x) == GPU)
        yield torch.Tensor, "is_cpu", property(lambda x: self.device_of(x) != GPU)
        yield torch.Tensor, "to", self._to(torch.Tensor.to)
        yield torch.Tensor, "cpu", lambda x, *_, **__: x.to(CPU)
        yield torch.Tensor, "cuda", lambda x, *_, **__: x.to(GPU)
        yield torch.Tensor, "numpy", self._numpy(torch.Tensor.numpy)
        yield torch.Tensor, "tolist", self._tolist(torch.Tensor.tolist)
        yield torch.Tensor, "__deepcopy__", self._as_its_own(torch.Tensor.__deepcopy__)
        for name in NEW:
            yield torch.Tensor, name, self._made(getattr(torch.Tensor, name), of_argument=True)
        for name in LIKE:
            yield torch, name, self._made(getattr(torch, name), of_argument=True)
        for function in _device_constructors():
            if getattr(torch, function.__name__, None) is function and function.__name__ not in LIKE:
                yield torch, function.__name__, self._made(function, of_argument=False)
        yield torch.nn.functional, "one_hot", self._one_hot(torch.nn.functional.one_hot)
        yield torch._C._nn, "_parse_to", self._parse_to(torch._C._nn._parse_to)
        grouped = torch._C._group_tensors_by_device_and_dtype
        yield torch._C, "_group_tensors_by_device_and_dtype", self._grouped(grouped)
        yield torch, "load", self._load(torch.load)
        yield torch, "autocast", self._on_the_cpu(torch.autocast)
        yield torch, "is_autocast_enabled", self._on_the_cpu(torch.is_autocast_enabled)
        yield torch, "get_autocast_dtype", self._on_the_cpu(torch.get_autocast_dtype)
        for name, answer in {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "current_device": lambda: 0,
            "set_device": lambda device: None,
            "synchronize": lambda device=None: None,
            "is_bf16_supported": lambda including_emulation=True: True,
            "get_device_name": lambda device=None: "a pretended GPU",
            "memory_allocated": lambda device=None: 0,
            "max_memory_allocated": lambda device=None: 0,
            "reset_peak_memory_stats": lambda device=None: None,
            "manual_seed": lambda seed: None,  # its numbers come from the CPU's generator
            "manual_seed_all": lambda seed: None,
            "get_rng_state": lambda device=GPU: torch.get_rng_state(),
            "set_rng_state": self._set_rng_state,
        }.items():
            yield torch.cuda, name, answer
        yield torch, "set_rng_state", self._set_rng_state

    @contextmanager
    def _patched(self) -> Iterator[None]:
        before, self._within.function = self.in_patched_function, True
        try:
            yield
        finally:
            self._within.function = before

    @property
    def in_patched_function(self) -> bool:
        return getattr(self._within, "function", False)

    def _made(self, function: Callable, of_argument: bool) -> Callable:
        """A function that makes tensors.

        Args:
            of_argument: on the device of its first argument, where it is told no other.
        """

        def make(*args: Any, device: Any = None, **kwargs: Any) -> Tensor:
            wanted = CPU if device is None else _device(device)
            if wanted == META:
                return function(*args, device=device, **kwargs)
            if device is None and of_argument:
                wanted = self.device_of(args[0])
            generator = kwargs.get("generator")
            if wanted == GPU and generator is not None:
                raise MixedDevices(f"{function.__name__} on the GPU with a generator of the CPU")
            with self._patched():
                made = function(*args, **kwargs) if device is None else function(*args, device=CPU, **kwargs)
                given = [x.untyped_storage()._cdata for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
                if made.untyped_storage()._cdata in given:  # as_tensor and the like may give back what they got
                    return made if device is None else made.to(wanted)
            return self.put(made, wanted)

        return make

    def _to(self, function: Callable) -> Callable:
        def to(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            if isinstance(other := args[0] if args else kwargs.pop("other", None), Tensor):
                kwargs |= {"device": self.device_of(other), "dtype": other.dtype}
                args = args[1:]
                names = ["non_blocking", "copy"]
            else:
                names = ["dtype", "non_blocking", "copy"]
                if not isinstance(other, torch.dtype):
                    names.insert(0, "device")
            kwargs |= dict(zip(names, args))
            device = kwargs.pop("device", None)
            kwargs = {"dtype": x.dtype} | {name: value for name, value in kwargs.items() if value is not None}
            here, wanted = self.device_of(x), self.device_of(x) if device is None else _device(device)
            if here == wanted:
                return function(x, **kwargs)
            if META in (here, wanted):
                return function(x, device=wanted, **kwargs)
            if here == GPU:
                self.read()
            with self._patched():
                return self.put(function(x, **kwargs | {"copy": True}), wanted)

        return to

    def _one_hot(self, function: Callable) -> Callable:
        def one_hot(x: Tensor, num_classes: int = -1) -> Tensor:
            if num_classes < 0:
                return function(x)
            with self._patched():  # a CPU looks whether all are below
                return self.put(function(x, num_classes), self.device_of(x))

        return one_hot

    def _numpy(self, function: Callable) -> Callable:
        def numpy(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            if self.device_of(x) == GPU:
                raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")
            return function(x, *args, **kwargs)

        return numpy

    def _tolist(self, function: Callable) -> Callable:
        def tolist(x: Tensor) -> Any:
            if self.device_of(x) == GPU:
                self.read()
            with self._patched():
                return function(x)

        return tolist

    def _as_its_own(self, function: Callable) -> Callable:
        def copied(x: Tensor, memo: dict) -> Tensor:
            return self.put(function(x, memo), self.device_of(x))

        return copied

    def _load(self, function: Callable) -> Callable:
        def load(*args: Any, map_location: Any = CPU, **kwargs: Any) -> Any:
            with self._patched():
                content = function(*args, map_location=CPU, **kwargs)
            return tree_map_only(Tensor, lambda x: self.put(x, _device(map_location)), content)

        return load

    def _parse_to(self, function: Callable) -> Callable:
        """The arguments of a module's `to`."""

        def parsed(*args: Any, **kwargs: Any) -> tuple:
            device, *others = function(*args, **kwargs)
            given = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor)]
            return (self.device_of(given[0]) if given else device, *others)

        return parsed

    def _grouped(self, function: Callable) -> Callable:
        """What optimisers and gradient clipping sort their tensors by."""

        def grouped(*args: Any) -> dict[tuple[torch.device | None, torch.dtype | None], Any]:
            return {
                (self.device_of(next(x for x in lists[0] if x is not None)), dtype): (lists, indices)
                for (_, dtype), (lists, indices) in function(*args).items()
            }

        return grouped

    def _set_rng_state(self, state: Tensor, device: Any = None) -> None:
        """Of either device: torch wants the state itself on the CPU."""
        if self.device_of(state) != CPU:
            raise TypeError("RNG state must be a torch.ByteTensor")
        torch.default_generator.set_state(state)

    @staticmethod
    def _on_the_cpu(function: Callable) -> Callable:
        def called(device_type: str = "cuda", *args: Any, **kwargs: Any) -> Any:
            assert device_type in ("cuda", "cpu"), device_type
            return function("cpu", *args, **kwargs)

        return called


class _Watch(TorchDispatchMode):
    """Sees every operation, also those of the backward pass and of optimisers."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name, given = func.overloadpacket.__name__, [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
        device = self.common_device(func, name, args, given)
        if device == GPU and reads(name, args, kwargs) and not self.gpu.in_patched_function:
            self.gpu.read()
        result = func(*args, **kwargs)
        theirs = {x.untyped_storage()._cdata for x in given}
        for made in tree_iter(result):
            if isinstance(made, Tensor) and made.untyped_storage()._cdata not in theirs:
                self.gpu.put(made, device)
        return result

    def common_device(self, func, name: str, args: tuple, given: list[Tensor]) -> torch.device | None:
        """The device that an operation runs on, None for what torch makes for itself; raises MixedDevices."""
        devices = [self.gpu.device_of(x) for x in given]
        if GPU not in devices:
            here = CPU if CPU in devices or self.gpu.in_patched_function else None
            if any(x.ndim for x, device in zip(given, devices, strict=True) if device == CPU):
                self.settle(given, devices, CPU)
            return here
        if name == "copy_":
            if devices[0] == CPU and devices[1] == GPU and not self.gpu.in_patched_function:
                self.gpu.read()
            return devices[0] or GPU
        number_is_fine = torch.Tag.pointwise in func.tags or name in TAKE_A_NUMBER or name.startswith("_foreach")
        strays = [
            x
            for x, device in zip(given, devices, strict=True)
            if device == CPU and not (x.ndim == 0 and number_is_fine)
        ]
        if strays and not self.gpu.in_patched_function:
            shapes = ", ".join(f"{list(x.shape)} on {d.type if d else '?'}" for x, d in zip(given, devices))
            raise MixedDevices(f"{name} of {shapes}")
        self.settle(given, devices, GPU)
        return GPU

    def settle(self, given: list[Tensor], devices: list[torch.device | None], device: torch.device) -> None:
        """What torch made for itself is on the device that it is used on."""
        for x, known in zip(given, devices, strict=True):
            if known is None:
                self.gpu.put(x, device)


def reads(name: str, args: tuple, kwargs: dict) -> bool:
    """An operation on the GPU makes the host wait for a value or a shape."""
    if name == "repeat_interleave":
        return kwargs.get("output_size") is None
    if name in INDEXING:
        masks = [index for index in args[1] if index is not None and index.dtype in (torch.bool, torch.uint8)]
        filled = name != "index" and args[2].numel() == 1  # is computed as masked_fill
        return bool(masks) and not filled
    return name in READS


def _device(device: Any) -> torch.device:
    device = torch.device("cuda", device) if isinstance(device, int) else torch.device(device)
    if device == META:
        return META
    if device.type not in ("cpu", "cuda") or device.index not in (None, 0):
        raise RuntimeError(f"there is no device {device}")
    return GPU if device.type == "cuda" else CPU
