"""Running a study: trained runs are found or made, each is loaded once, and every cell is measured and written."""

import inspect
from collections.abc import Callable, Sequence
from logging import getLogger
from pathlib import Path
from typing import Any, get_type_hints

import torch
from tqdm import tqdm

from recbole_specgr.quick_start import load_data_and_model
from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.collecting import environment
from recbole_specgr.runs.comparison import what_it_is
from recbole_specgr.runs.folder import why_other_data
from recbole_specgr.runs.moments import now
from recbole_specgr.runs.record import RESULT, digest, write_json
from recbole_specgr.settings.schema import checked
from recbole_specgr.studies.cells import RUNS, SCHEMA, read_cell, read_identities, same_run
from recbole_specgr.studies.measures import MEASURES
from recbole_specgr.studies.spec import Setup, Study
from recbole_specgr.studies.trained import RunFailed, TrainedRuns
from recbole_specgr.studies.trial import Trial
from recbole_specgr.studies.wanted import Wanted
from recbole_specgr.system.errors import UserError, did_you_mean
from recbole_specgr.training import make_trainer


class StudyRunner:
    """Runs one study on one data set.

    Args:
        runs: of the data set.
        folder: where the cells are, one JSON file each: `leaderboards/<dataset>/studies/<study>`.
        quick: the first and the last value of each axis only.
    """

    def __init__(self, study: Study, runs: TrainedRuns, folder: Path, quick: bool = False, show_progress: bool = True):
        self.study, self.runs, self.folder = study, runs, folder
        self.setups = list(study.setups(quick))
        self.show_progress = show_progress
        self._told = False  # of cells of other data
        self._check_measures()

    def run(self, seeds: list[int]) -> list[str]:
        """Measure every cell that is not there yet, and return what went wrong, one sentence a cause.

        A cell that is there and was measured with other settings than the study has now, or on other data than the
        data set holds now, is measured again.
        """
        faults: list[str] = []
        bar = tqdm(
            total=len(seeds) * len(self.setups), desc=self.study.name, unit="cell", disable=not self.show_progress
        )
        with bar:
            for seed in seeds:
                for wanted, setups in self._by_run():
                    try:
                        self._run_group(wanted, setups, seed, bar)
                    except (RunFailed, UserError, FileNotFoundError) as error:
                        labels = ", ".join(dict.fromkeys(setup.label for setup in setups))
                        faults.append(f"{labels}, seed {seed}: {error}")
        return list(dict.fromkeys(faults))

    def _by_run(self) -> list[tuple[Wanted, list[Setup]]]:
        """The setups of each wanted run, in the study's order."""
        groups: list[tuple[Wanted, list[Setup]]] = []
        for setup in self.setups:
            same = next((setups for wanted, setups in groups if wanted == setup.wanted), None)
            if same is None:
                groups.append((setup.wanted, [setup]))
            else:
                same.append(setup)
        return groups

    def _run_group(self, wanted: Wanted, setups: list[Setup], seed: int, bar: tqdm) -> None:
        identity = self._identity(wanted, seed)
        pending = [setup for setup in setups if not self._is_there(setup, seed, identity)]
        bar.update(len(setups) - len(pending))
        if not pending:
            return
        run_dir = self.runs.ensure(wanted, seed)
        loaded = _Loaded(run_dir)
        self._tell_of_unread(setups, loaded.record)
        for setup in pending:
            bar.set_postfix_str(setup.label)
            self._write(setup, seed, identity, loaded.measure(setup), loaded)
            bar.update()

    def _tell_of_unread(self, setups: list[Setup], record: dict[str, Any]) -> None:
        """A warning where the run read nothing of an axis. Runs of earlier versions do not say what they did not."""
        varied = {axis for setup in setups for axis in setup.axes if axis in setup.wanted.train}
        never = [axis for axis in sorted(varied) if axis in record.get("unread", ())]
        if never:
            named = ", ".join(f"[{axis}]" for axis in never)
            getLogger().warning(
                f"Study {self.study.name}: {record['model']} does not read {named}: to vary it changes nothing."
            )

    def _identity(self, wanted: Wanted, seed: int) -> dict[str, Any]:
        """What makes a cell's numbers those of this run and no other. Raises UserError for what is not there."""
        return {
            "settings": what_it_is(self.runs.config(wanted, seed).to_dict()),
            "uses": {key: self._identity(other, seed) for key, other in wanted.uses.items()},
        }

    def _is_there(self, setup: Setup, seed: int, identity: dict[str, Any]) -> bool:
        """The cell was measured on such a run of the present data, under these settings of inference, by these
        measures."""
        path = self.folder / setup.file_name(seed)
        if not path.is_file():
            return False
        cell, runs = read_cell(path), read_identities(self.folder)
        measured = cell["run_id"] in runs and same_run(runs[cell["run_id"]], identity)
        if not measured or cell["set"] != setup.decode or cell["measure"] != setup.measure:
            return False
        why = why_other_data(cell, self.runs.data(self.runs.config(setup.wanted, seed)))
        if why is not None and not self._told:
            self._told = True
            getLogger().warning(
                f"{path} and what else was measured on other data than the data set holds now is measured again: {why}."
            )
        return why is None

    def _write(self, setup: Setup, seed: int, identity: dict[str, Any], measured: dict[str, Any], loaded: "_Loaded"):
        run_id, identities = digest(identity)[:16], read_identities(self.folder)
        if run_id not in identities:
            write_json(self.folder / RUNS, {**identities, run_id: identity})
        cell = {
            "schema": SCHEMA,
            "study": self.study.name,
            "dataset": self.runs.dataset,
            "label": setup.label,
            "axes": setup.axes,
            "seed": seed,
            "run_id": run_id,
            "model": loaded.record["model"],
            "train": setup.wanted.train,
            "set": setup.decode,
            "decoding": {**loaded.decoding, **setup.decode},
            "measure": setup.measure,
            "measured": measured,
            "finished": now(),
            **{key: loaded.record[key] for key in ("protocol", "protocol_hash")},
            "run": {key: loaded.record[key] for key in ("command", "git_commit", "finished")},
            **environment(loaded.config),
        }
        write_json(self.folder / setup.file_name(seed), {**cell, "digest": digest(cell)})

    def _check_measures(self) -> None:
        for setup in self.setups:
            for name, parameters in setup.measure.items():
                if name not in MEASURES:
                    raise UserError(
                        f"Study {self.study.name}: there is no measure [{name}].{did_you_mean(name, MEASURES)} "
                        f"There are: {', '.join(MEASURES)}."
                    )
                known = parameter_types(MEASURES[name])
                for parameter, value in parameters.items():
                    if parameter not in known:
                        raise UserError(f"Study {self.study.name}: the measure [{name}] takes no [{parameter}].")
                    checked(f"measure.{name}.{parameter}", value, known[parameter], f"study {self.study.name}")


def parameter_types(measure: Callable[..., Any]) -> dict[str, dict[str, Any]]:
    """Parameter of a measure, but for the trial -> its JSON Schema, by the signature. Whole numbers are counts from 1,
    or from 0 where that is the default."""
    hints = get_type_hints(measure)
    found: dict[str, dict[str, Any]] = {}
    for name, parameter in list(inspect.signature(measure).parameters.items())[1:]:
        count: dict[str, Any] = {"type": "integer", "minimum": int(parameter.default != 0)}
        kinds: dict[Any, dict[str, Any]] = {
            int: count,
            int | None: {**count, "type": ["integer", "null"]},
            Sequence[int]: {"type": "array", "items": count, "minItems": 1},
            str: {"type": "string"},
        }
        found[name] = kinds[hints[name]]
    return found


class _Loaded:
    """A run in memory; its model's settings of inference can be changed and are put back.

    Raises:
        UserError: the data set is not that which the run was trained and tested on.
    """

    def __init__(self, run_dir: Path):
        self.record = read_record(run_dir / RESULT)
        self.config, model, *_, valid, test = load_data_and_model(run_dir, {"show_progress": False})
        if (why := why_other_data(self.record, test._dataset)) is not None:
            raise UserError(
                f"{run_dir} is a run of other data than the data set holds now: {why}. Bring the data back as it was, "
                f"or remove the run, so that the model is trained again."
            )
        self.loaders = {"valid": valid, "test": test}
        self.trainer = make_trainer(self.config, model)
        model.eval()
        self.decoding: dict[str, Any] = dict(model.decoding)

    @torch.no_grad()
    def measure(self, setup: Setup) -> dict[str, Any]:
        """Raises UserError for a setting that this model can't change after training, or a value that it can't be."""
        decode = {}
        for key, value in setup.decode.items():
            if key not in self.decoding:
                raise UserError(
                    f"{self.record['model']} has no setting [{key}] that can change after training."
                    f"{did_you_mean(key, self.decoding)} It has: {', '.join(self.decoding) or 'none'}."
                )
            decode[key] = checked(f"decode.{key}", value, self.config.type_of(key), "the study")
        model = self.trainer.model
        trial = Trial(self.record["model"], self.record, self.trainer, self.loaders)
        measured: dict[str, Any] = {}
        try:
            if setup.decode:
                model.change_decoding(decode)
            for name, parameters in setup.measure.items():
                measured |= MEASURES[name](trial, **parameters)
        finally:
            if setup.decode:
                model.change_decoding(self.decoding)
        return _plain(measured)


def _plain(measured: dict[str, Any]) -> dict[str, Any]:
    """Rounded to six digits that count, which is more than any of them is exact to."""

    def rounded(value: float) -> float:
        return value if isinstance(value, int) else float(f"{value:.6g}")

    return {
        key: [rounded(part) for part in value] if isinstance(value, list) else rounded(value)
        for key, value in measured.items()
    }
