"""Whether a device computes in bfloat16, or only emulates it: by widening to float32 and back, slower than float32."""

from pathlib import Path

import torch

CPUINFO = Path("/proc/cpuinfo")
FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # of x86, and of ARM


def has_bfloat16(device: torch.device, cpuinfo: Path = CPUINFO) -> bool:
    """True where the device has arithmetic for it, and where that can't be told.

    Args:
        cpuinfo: where Linux describes the processors.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu" or not cpuinfo.is_file():
        return True
    lines = (line.partition(":") for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines())
    flags = [value.split() for name, _, value in lines if name.strip() in ("flags", "Features")]
    return not flags or bool(FLAGS & set(flags[0]))
