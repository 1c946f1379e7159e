"""Results of an evaluation that is not finished, kept on disk so that an interrupted one goes on where it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn

from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.fingerprint import content_key
from recbole_specgr.system.processes import from_first_process, world


class EvaluationShards:
    """The ranked batches of one evaluation, in files of one folder; any number of processes may go on with them.

    A file counts only for the evaluation it was made for: the same parameters, settings and data.

    Args:
        folder: where the files are; None keeps nothing.
        minutes: between two files of a process.
        model: is evaluated.
        what: everything else that the lists depend on, as plain data.
    """

    def __init__(self, folder: Path | None, minutes: float | None, model: nn.Module, *what: Any):
        self.folder, self.minutes = folder, minutes
        self._model, self._what = model, what
        self._key: str | None = None
        self._unsaved: dict[int, dict[str, Any]] = {}
        self._saved_at = monotonic()

    def found(self) -> tuple[dict[int, dict[str, Any]], set[int]]:
        """The batches that are in the files, to the first process alone, and their numbers, to all processes."""
        batches: dict[int, dict[str, Any]] = {}
        if self.folder is not None and not world()[0] and self.folder.is_dir():
            for file in sorted(self.folder.glob("*.pt")):
                content = torch.load(file, map_location="cpu", weights_only=True)
                if content["key"] == self.key:
                    batches.update(content["batches"])
        return batches, from_first_process(set(batches))

    @property
    def key(self) -> str:
        """Fingerprint of the evaluation; computed when it is needed, for it reads every parameter."""
        if self._key is None:
            state = {name: value.detach().cpu() for name, value in self._model.state_dict().items()}
            parts = [part for name, value in sorted(state.items()) for part in (name, _bytes(value).numpy())]
            self._key = content_key(*parts, *self._what)
        return self._key

    def add(self, number: int, rows: dict[str, Tensor], seconds: float) -> None:
        """Keep a batch; a file is written when the last one is `minutes` old."""
        if self.folder is None:
            return
        self._unsaved[number] = {"rows": {name: value.cpu() for name, value in rows.items()}, "seconds": seconds}
        if self.minutes and monotonic() - self._saved_at > 60 * self.minutes:
            self.save()

    def save(self) -> None:
        """Write what no file has yet."""
        if self._unsaved and self.folder is not None:
            with atomic_write(self.folder / f"{self.key}-{min(self._unsaved):08}.pt") as temporary:
                torch.save({"key": self.key, "batches": self._unsaved}, temporary)
        self._unsaved, self._saved_at = {}, monotonic()

    def clear(self) -> None:
        """The evaluation is finished."""
        if self.folder is not None and not world()[0]:
            shutil.rmtree(self.folder, ignore_errors=True)


def _bytes(value: Tensor) -> Tensor:
    return value.contiguous().reshape(-1).view(torch.uint8)
