"""How much memory this process has, as Linux counts it."""

from __future__ import annotations

from pathlib import Path


def resident() -> int:
    """Bytes that it holds now."""
    return _status("VmRSS")


def peak() -> int:
    """The most bytes that it held since it began. (`getrusage` also counts what the process that started it had.)"""
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
