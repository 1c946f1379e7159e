"""Content-keyed cache files: fingerprints, whole-or-nothing writes, and one process at a time under torchrun."""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


def content_key(*parts: object) -> str:
    """Return a 24-digit hexadecimal fingerprint of `parts`.

    Arrays count by dtype, shape and bytes, sequences of str by their texts, everything else by its `repr`.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"array {part.dtype.str} {part.shape}\0".encode())
            digest.update(np.ascontiguousarray(part).data)
        elif isinstance(part, list) and all(isinstance(text, str) for text in part):
            digest.update(f"texts {len(part)}\0".encode())
            for text in part:
                digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        else:
            digest.update(f"value {part!r}\0".encode())
    return digest.hexdigest()[:24]


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary name in the folder of `path`; it becomes `path` on success and is removed on any error.

    The temporary name keeps the suffix of `path`, because `numpy.save` and friends append one when it is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def first_rank_first() -> Iterator[None]:
    """Let rank 0 run the block alone (and fill the cache), then the other ranks; without torchrun just run it."""
    import torch.distributed  # here: who only writes files need not wait for it

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        yield
        return
    first = torch.distributed.get_rank() == 0
    if not first:
        torch.distributed.barrier()
    try:
        yield
    finally:
        if first:
            torch.distributed.barrier()
