"""The training curves as a table: one line an epoch, of all stages."""

import csv
from collections.abc import Iterable
from pathlib import Path

from recbole_specgr.system.files import atomic_write
from recbole_specgr.training.progress import StageProgress

CURVES = "curves.csv"


def write_curves(folder: Path, stages: Iterable[StageProgress]) -> None:
    """Write `curves.csv` anew: stage, epoch, and a column for every loss, metric and time, empty where it has none.

    Raises:
        OSError: the disk is full, or the folder is gone.
    """
    rows = [{"stage": progress.stage, **entry} for progress in stages for entry in progress.history]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if not folder.is_dir():
        raise FileNotFoundError(f"the folder {folder} is gone")
    with atomic_write(folder / CURVES) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
