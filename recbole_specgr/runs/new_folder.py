"""The folder that a run writes to: made when the run begins, removed when it fails with nothing to go on from."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recbole_specgr.runs.folder import LAST, runs_of, write_config
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.log import RunLog
from recbole_specgr.system.processes import from_first_process


@contextmanager
def run_folder(config: Config, log: RunLog) -> Iterator[Path]:
    """The run's folder, with its settings and its log: a new one, named in `config`, where none is named there.

    A folder that is new, or was empty, is removed again when what is done in it fails before there is anything to go on
    from.

    Raises:
        UserError: the folder can't be made or written, or another process is at work in it.
    """
    named = config["run_dir"]
    created = named is None or not Path(named).exists() or (Path(named).is_dir() and not any(Path(named).iterdir()))
    if named is None:
        with _naming("runs_path", config["runs_path"]):
            config["run_dir"] = str(_new_folder(config))
    run_dir = Path(config["run_dir"])
    config["checkpoint_dir"] = str(run_dir)
    try:
        if not config["rank"]:
            with _naming("run_dir", run_dir):
                run_dir.mkdir(parents=True, exist_ok=True)
                log.write_to(run_dir / "log.txt")  # before anything else is written: it keeps other processes out
                write_config(run_dir, config)
        yield run_dir
    except BaseException:
        if created and not config["rank"] and not (run_dir / LAST).is_file():
            log.close()
            shutil.rmtree(run_dir, ignore_errors=True)
            if named is None:
                _remove_empty(config)
        raise


@contextmanager
def _naming(setting: str, folder: str | Path) -> Iterator[None]:
    """Turns an error of the file system into one that names the setting."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"[{setting}: {folder}]: {error.filename or folder} can't be written ({error.strerror}). Name a folder "
            f"that can be."
        ) from error


def _new_folder(config: Config) -> Path:
    """Make `runs/<dataset>/<model>/<time>-seed<seed>[-number]`, which nobody else has; one for all processes."""
    stem, number = f"{time.strftime('%Y%m%d-%H%M%S')}-seed{config['seed']}", 1
    run_dir = runs_of(config) / stem
    while not config["rank"]:
        try:
            run_dir.mkdir(parents=True)
            break
        except FileExistsError:
            number += 1
            run_dir = runs_of(config) / f"{stem}-{number}"
    return Path(from_first_process(str(run_dir)))


def _remove_empty(config: Config) -> None:
    """Remove the folders above a run's that hold nothing."""
    for folder in (runs_of(config), runs_of(config).parent, Path(config["runs_path"])):
        with suppress(OSError):  # it holds other runs
            folder.rmdir()
