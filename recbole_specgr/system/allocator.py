"""The C library's allocator, told what tensors need of it."""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """Let this process use freed memory again, instead of returning it to the system and asking for it anew.

    glibc gives large blocks back at once, and the system has to clear each page that it hands out again: a fifth of the
    time of decoding and of training on a CPU (README, "Speed"). The process's peak stays what it is, but what it has
    once used it keeps until it ends. Does nothing where the C library is another one.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)
