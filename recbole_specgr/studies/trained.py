"""Trained runs by what they are: found where they exist, gone on with where they were interrupted, made otherwise."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from typing import Any

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.data.loading_cache import read_by_loading
from recbole_specgr.runs.begun import data_marks, why_begun_on_other_data
from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.comparison import sources, would_be
from recbole_specgr.runs.folder import CONFIG, LAST, checkpoint_of, why_other_data
from recbole_specgr.runs.launch import training_program
from recbole_specgr.runs.record import RESULT
from recbole_specgr.settings.config import Config, Settings
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.studies.wanted import Wanted
from recbole_specgr.system.child import run_child
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.fingerprint import content_key

VARIANTS = "variants"  # runs of models with other settings than their own are kept apart: <runs>/variants/<dataset>/...


class RunFailed(Exception):
    """A run ended with an error. Its message is the command and the exit status."""


@dataclass(frozen=True)
class PresentData:
    """What the files of a data set hold now, as some settings read them.

    Attributes:
        protocol: what two results must share to compare (`InductiveDataset.protocol`).
        marks: what a run that goes on must find again (`data_marks`).
    """

    protocol: dict[str, Any]
    marks: dict[str, str]


class TrainedRuns:
    """Finds and makes runs of one data set, as its files are now: runs of what they held before are passed over.

    Args:
        settings: over every run's own; `runs_path` is where runs are looked for and kept.
        launch: makes a run, given the words after `recbole-specgr train`; raises RunFailed.
    """

    def __init__(
        self, dataset: str, settings: dict[str, Any] | None = None, launch: Callable[[list[str]], None] | None = None
    ):
        self.dataset, self.settings, self.launch = dataset, dict(settings or {}), launch or run_training
        self._data: dict[str, PresentData] = {}  # by the settings that read it
        self._passed_over: set[Path] = set()

    def find(self, wanted: Wanted, seed: int) -> Path | None:
        """The newest finished run that is what is wanted. Raises UserError for a model or setting that is not there."""
        uses = {key: self.find(part, seed) for key, part in wanted.uses.items()}
        there = {key: run for key, run in uses.items() if run is not None}
        return self._find(wanted, seed, there) if len(there) == len(uses) else None

    def ensure(self, wanted: Wanted, seed: int) -> Path:
        """`find`, or train it, and before that what it uses.

        Raises:
            RunFailed: the training ended with an error.
            UserError: a model or setting that is not there.
        """
        uses = {key: self.ensure(part, seed) for key, part in wanted.uses.items()}
        found = self._find(wanted, seed, uses)
        if found is None:
            unfinished = self._find(wanted, seed, uses, finished=False)
            self.launch(self._words(wanted, seed, uses) + ([f"--resume={unfinished}"] if unfinished else []))
            found = self._find(wanted, seed, uses)
        if found is None:
            raise RunFailed(f"{wanted.model} was trained, but its run is not among those in {self._folders(wanted)}")
        return found

    def config(self, wanted: Wanted, seed: int, uses: dict[str, Path] | None = None) -> Config:
        """The settings that the wanted run has."""
        given = Settings(self._given(wanted, seed, uses or {}), "the study's file or the command line")
        return Config(wanted.model, self.dataset, config_dict=given)

    def data(self, config: Config) -> PresentData:
        """The data set as these settings read it; loaded once for all that read it alike. Raises UserError where it
        can't be read."""
        read = read_by_loading(config)
        key = content_key(config["data_path"], config.to_dict() if read is None else read)
        if key not in self._data:
            dataset = InductiveDataset(config)
            self._data[key] = PresentData(dataset.protocol, data_marks(dataset))
        return self._data[key]

    def _given(self, wanted: Wanted, seed: int, uses: dict[str, Path]) -> dict[str, Any]:
        return {**self.settings, **wanted.train, **{key: str(path) for key, path in uses.items()}, "seed": seed}

    def _find(self, wanted: Wanted, seed: int, uses: dict[str, Path], finished: bool = True) -> Path | None:
        config = self.config(wanted, seed, uses)
        given = {key.partition(".")[0] for key in wanted.train}
        folders = [
            run for folder in self._folders(wanted, config) for run in folder.glob("*/") if (run / CONFIG).is_file()
        ]
        for run in sorted(folders, key=lambda run: run.name, reverse=True):
            complete = (run / RESULT).is_file() and checkpoint_of(run, config).is_file()
            there = complete if finished else (run / LAST).is_file() and not complete
            if there and _is(run, config, given, uses, may_train_parts=finished):
                if (why := self._why_other_data(run, config, finished)) is None:
                    return run
                if run not in self._passed_over:
                    self._passed_over.add(run)
                    getLogger().warning(f"{run} is passed over, for the data set was another then: {why}.")
        return None

    def _why_other_data(self, run: Path, config: Config, finished: bool) -> str | None:
        """In what the data of a run with these settings are not those of now; None where in nothing."""
        data = self.data(config)
        if finished:
            return why_other_data(read_record(run / RESULT), data)
        return why_begun_on_other_data(run, data.marks)

    def _folders(self, wanted: Wanted, config: Config | None = None) -> list[Path]:
        config = config or self.config(wanted, 0)
        name = Path(config["dataset"], config["model"])
        return [Path(config["runs_path"]) / name, Path(config["runs_path"]) / VARIANTS / name]

    def _words(self, wanted: Wanted, seed: int, uses: dict[str, Path]) -> list[str]:
        given = self._given(wanted, seed, uses)
        if wanted.train:
            given["runs_path"] = str(Path(self.config(wanted, seed, uses)["runs_path"]) / VARIANTS)
        # The settings are for the runs of several models, of which some may not read them.
        words = {"model": wanted.model, "dataset": self.dataset, "seed": given.pop("seed"), "strict": False, **given}
        return [f"--{key}={_word(value)}" for key, value in words.items()]


def run_training(words: list[str]) -> None:
    """Train a model with these words, in a process of its own, on this terminal."""
    if status := run_child([*training_program(), *words]):
        raise RunFailed(f"`{shlex.join(['recbole-specgr', 'train', *words])}` ended with status {status}")


def _is(run: Path, config: Config, given: set[str], uses: dict[str, Path], may_train_parts: bool) -> bool:
    """The run has these settings, but for those that follow from the data, and was made of the runs in `uses`. A
    setting that is given must be one that it had.

    Args:
        may_train_parts: it may have trained its parts itself, too. One that is to be gone on with may not: it would be
            given the runs in `uses`.
    """
    try:
        theirs = read_mapping(run / CONFIG)
    except UserError:
        return False
    made_of = sources(theirs)
    taken = all(made_of[key] == path.resolve() if key in made_of else may_train_parts for key, path in uses.items())
    return taken and given <= theirs.keys() and theirs["seed"] == config["seed"] and would_be(theirs, config)


def _word(value: Any) -> str:
    """A setting's value as it is typed on the command line."""
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
