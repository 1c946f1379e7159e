"""Checkpoints: tensors and plain data, written whole or not at all, read with `weights_only=True`, with a digest.

A checkpoint is a zip archive, as torch writes it. Its digest is the archive's comment, which other readers pass over.
Checkpoints that were written before there was a digest are read, too.
"""

import hashlib
import os
import pickle
import shutil
from pathlib import Path
from typing import Any, BinaryIO

import torch
from recbole.model.abstract_recommender import AbstractRecommender
from torch import nn

from recbole_specgr.backbones.architectures import architecture_of
from recbole_specgr.runs.folder import LAST
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.sharded_state import gathered


def checkpoint_content(model: AbstractRecommender, **content: Any) -> dict[str, Any]:
    """The model's class name, its parameters, and `content`: plain data and tensors, which become whole where FSDP has
    spread them. Every process must ask."""
    # Some RecBole models name whole modules here, whose parameters are in the state_dict anyway.
    other = {name: value for name, value in model.other_parameter().items() if not isinstance(value, nn.Module)}
    state = {"model": type(model).__name__, "state_dict": model.state_dict(), "other_parameter": other, **content}
    whole: dict[str, Any] = gathered(state)
    return whole


def save_checkpoint(path: Path, model: AbstractRecommender, *, writes: bool = True, **content: Any) -> None:
    """Write `checkpoint_content`. Every process must ask; one of them `writes`."""
    content = checkpoint_content(model, **content)
    if writes:
        write_checkpoint(path, content)


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint, through to the disk, in the place of an earlier one at `path`, which stays until then.

    Raises:
        UserError: the folder is gone, or the disk does not take it.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(
            f"The checkpoint {path} can't be written: the folder {path.parent} is gone. When its disk is there again, "
            f"go on with --resume={path.parent}; when the folder was removed, train again."
        )
    try:
        with atomic_write(path) as temporary:
            torch.save(content, temporary)
            with temporary.open("r+b") as file:
                _append_digest(file)
                os.fsync(file.fileno())
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "inline_container" not in str(error):  # not torch's writer of files
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or "the disk did not take all of it"
        kept = "The one before it is whole" if path.is_file() else "There is none before it"
        # The folder of a run that has nothing to go on from is removed when the run ends.
        again = f"go on with --resume={path.parent}" if (path.parent / LAST).is_file() else "train again"
        free = shutil.disk_usage(path.parent).free / 1e9 if path.parent.is_dir() else 0.0
        raise UserError(
            f"The checkpoint {path} could not be written ({reason}; {free:.2f} GB are free there). {kept}. Make room, "
            f"or see to the disk, then {again}."
        ) from error


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        FileNotFoundError: there is none.
        UserError: the file is truncated or damaged, or not a checkpoint of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {path}.")
    try:
        with path.open("rb") as file:
            if not _digest_holds(file):
                raise ValueError("its digest is not that of its content")
        checkpoint = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UserError(
            f"{path} can't be read as a checkpoint ({reason}). It is damaged, truncated ({path.stat().st_size:,} "
            f"bytes), or of another program. Train again, or take another checkpoint."
        ) from error
    if not isinstance(checkpoint, dict) or not {"model", "state_dict"} <= checkpoint.keys():
        raise UserError(f"{path} is not a checkpoint of this package: it has no model name and parameters.")
    return checkpoint


def restore_model(
    model: AbstractRecommender, checkpoint: dict[str, Any], path: Path, trained_as: str | None = None
) -> None:
    """Put a checkpoint's parameters into `model`.

    Args:
        path: of the checkpoint, for error messages.
        trained_as: the class whose checkpoint it must be; None: the model's own.

    Raises:
        UserError: they are of another model, or of this model with another backbone or other sizes.
    """
    name, theirs, ours = type(model).__name__, checkpoint["state_dict"], model.state_dict()
    if checkpoint["model"] != (trained_as or name):
        raise UserError(f"{path} is a checkpoint of {checkpoint['model']}, not of {trained_as or name}.")
    wanted, found = architecture_of(ours), architecture_of(theirs)
    if wanted != found:
        raise UserError(
            f"{path} does not fit this {name}: its backbone is [architecture: {found}], this one's is [architecture: "
            f"{wanted}]. Take the architecture that it was trained with, or train again."
        )
    faults = [f"{key} is missing" for key in ours.keys() - theirs.keys()]
    faults += [f"{key} is not a parameter of the model" for key in theirs.keys() - ours.keys()]
    faults += [
        f"{key} is {list(theirs[key].shape)}, the model's is {list(ours[key].shape)}"
        for key in ours.keys() & theirs.keys()
        if theirs[key].shape != ours[key].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise UserError(
            f"{path} does not fit this {name}: {'; '.join(sorted(faults)[:3])}{more}. It was trained on another data "
            f"set or with other settings."
        )
    model.load_state_dict(theirs)
    model.load_other_parameter(checkpoint.get("other_parameter"))


# -- the digest --------------------------------------------------------------------------------------------------------

_MARK = b"sha256:"
_DIGEST_SIZE = len(_MARK) + 64
_NO_COMMENT = b"\0\0"  # what an archive without a comment ends with: the length of it


def _append_digest(file: BinaryIO) -> None:
    """Make the digest of an archive without a comment its comment."""
    file.seek(-len(_NO_COMMENT), os.SEEK_END)
    if file.read() != _NO_COMMENT:
        raise ValueError("torch has written an archive with a comment")
    file.seek(-len(_NO_COMMENT), os.SEEK_END)
    file.write(_DIGEST_SIZE.to_bytes(2, "little"))
    end = file.tell()
    digest = _digest(file, end)
    file.seek(end)
    file.write(_MARK + digest)


def _digest_holds(file: BinaryIO) -> bool:
    """The file is what was written; of one without a digest, that it is none that has lost it."""
    size = file.seek(0, os.SEEK_END)
    if size <= _DIGEST_SIZE:
        return True  # too short for a checkpoint, which torch will say
    file.seek(size - _DIGEST_SIZE)
    comment = file.read()
    if comment.startswith(_MARK):
        return _digest(file, size - _DIGEST_SIZE) == comment[len(_MARK) :]
    return comment.endswith(_NO_COMMENT)


def _digest(file: BinaryIO, end: int) -> bytes:
    """sha256 of the first `end` bytes, 64 hexadecimal digits."""
    found = hashlib.sha256()
    file.seek(0)
    while block := file.read(min(1 << 20, end - file.tell())):
        found.update(block)
    return found.hexdigest().encode()
