"""Files that are written whole or not at all."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_RANDOM = 8  # characters that `tempfile` puts into a temporary name


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary name in the folder of `path`; it becomes `path` on success and is removed on any error.

    The temporary name keeps the suffix of `path`, because `numpy.save` and friends append one when it is missing.

    Raises:
        OSError: it can't be written. The error names `path`, also where the system's names no file (a full disk).
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
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) != temporary:
            raise
        # numpy's writers know no number: "8000 requested and 3000 written".
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def locked(file: IO[Any]) -> bool:
    """Lock a file that is open for writing, until it is closed or this process ends, however it ends.

    Returns:
        False where another process has locked it, or this one did by opening it another time. True as well where the
        system has no such locks: then nobody is kept out.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def remove_unfinished(folder: Path) -> None:
    """Remove what `atomic_write` has left in a folder whose process was killed. No other process may write there."""
    for file in folder.glob(".*"):
        if re.fullmatch(rf"\..+\.[a-z0-9_]{{{_RANDOM}}}(\.\w+)?", file.name):
            file.unlink(missing_ok=True)


def check_is_file(path: Path) -> None:
    """Raise FileNotFoundError where there is none, or a folder in its place."""
    if path.is_dir():
        raise FileNotFoundError(f"{path} is a folder, and a file is wanted.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}.")


def link_or_copy(source: Path, path: Path) -> None:
    """Have the cache file `source` at `path`, too: a second name of it where the file system can, else a copy."""
    with atomic_write(path) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
