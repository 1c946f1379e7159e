"""What the check runs on: prints it as JSON, and computes a little to see that the device works.

python scripts/gpu_checks/machine.py --device=cuda
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("recbole-specgr", "recbole", "torch", "transformers", "accelerate", "sentence-transformers", "faiss-cpu",
            "faiss-gpu-cu12", "numpy", "pandas")  # fmt: skip


def machine(device: str) -> dict[str, Any]:
    found = {
        "device": device,
        "system": platform.platform(),
        "python": platform.python_version(),
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "commit": _said("git", "rev-parse", "HEAD"),
        "changed files": len((_said("git", "status", "--porcelain") or "").splitlines()),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }
    if device == "cuda":
        found |= _gpus()
    return found


def _gpus() -> dict[str, Any]:
    if not torch.cuda.is_available():
        raise SystemExit(f"torch {torch.__version__} (CUDA {torch.version.cuda}) finds no usable GPU")
    properties = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    return {
        "gpus": [f"{own.name}, {own.total_memory / 2**30:.1f} GB, {own.major}.{own.minor}" for own in properties],
        "driver": _said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "nccl": torch.distributed.is_nccl_available() and ".".join(map(str, torch.cuda.nccl.version())),
        "bfloat16": torch.cuda.is_bf16_supported(including_emulation=False),
    }


def check(device: str) -> None:
    """Raise where the device computes something else than the CPU."""
    torch.manual_seed(0)
    a, b = torch.randn(256, 64, dtype=torch.float64), torch.randn(64, 256, dtype=torch.float64)
    torch.testing.assert_close((a.to(device) @ b.to(device)).cpu(), a @ b)


def _said(*command: str) -> str | None:
    if not shutil.which(command[0]):
        return None
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", required=True, choices=("cpu", "cuda"))
    parser.add_argument("--json", required=True, type=Path)
    arguments = parser.parse_args()
    arguments.json.write_text(json.dumps(machine(arguments.device), indent=2), encoding="utf-8")
    check(arguments.device)
    sys.exit(0)
