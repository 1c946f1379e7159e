"""The folder of a run: where its settings and its parameters are."""

from pathlib import Path
from typing import Any

import yaml

from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.record import RESULT, read_json
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write

CONFIG = "config.yaml"
LAST = "last.pth"  # where training stands: what --resume goes on from
EXPORTED = "recbole_specgr.json"  # what an exported run has in place of checkpoints
DEPTH = 3  # of the runs in a folder that is none: runs/<dataset>/<model>/<run>


def runs_of(config: Config) -> Path:
    """The folder of all runs of this model on this data set."""
    return Path(config["runs_path"], config["dataset"], config["model"])


def write_config(run_dir: Path, config: Config) -> None:
    with atomic_write(run_dir / CONFIG) as temporary:
        temporary.write_text(yaml.safe_dump(config.to_dict(), sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_config(run_dir: Path, config_dict: dict[str, Any] | None = None) -> Config:
    """The settings of a run, with `config_dict` over them. Raises FileNotFoundError for a folder that is none."""
    settings = read_settings(run_dir)
    return Config.from_dict(settings, {**(config_dict or {}), "run_dir": str(run_dir)})


def read_settings(run_dir: Path) -> dict[str, Any]:
    """What a run's config.yaml holds, its stages in the order in which they were trained.

    Raises:
        FileNotFoundError: the folder is no run.
        UserError: the file is cut short, or something else.
    """
    if (why := why_no_run(run_dir)) is not None:
        raise FileNotFoundError(why)
    settings = read_mapping(run_dir / CONFIG)
    if not {"model", "base_model", "dataset", "stages"} <= settings.keys():
        raise UserError(f"{run_dir / CONFIG} does not hold the settings of a run: it is cut short, or something else.")
    settings.setdefault("text_cleaning", "ascii")  # all texts were cleaned so before there was the setting
    # The record knows the order, even where somebody has sorted the keys of config.yaml.
    record = read_json(run_dir / RESULT) if (run_dir / RESULT).is_file() else None
    trained, stages = record.get("training") if isinstance(record, dict) else None, settings["stages"]
    if isinstance(trained, dict) and isinstance(stages, dict) and trained.keys() == stages.keys():
        settings["stages"] = {stage: stages[stage] for stage in trained}
    return settings


def why_no_run(folder: Path) -> str | None:
    """What a folder is and what to give in its place, in whole sentences; None for the folder of a run."""
    if (folder / EXPORTED).is_file():
        return (
            f"{folder} is no run but an exported one. Make a run of it and name that: "
            f"recbole-specgr import-run {folder} --to FOLDER"
        )
    if (folder / CONFIG).is_file():
        return None
    if folder.is_file():
        return f"{folder} is no run but a file. Name the folder of a run."
    if not folder.exists():
        return f"{folder} is no run: there is no such folder."
    runs = _runs_in(folder)
    if not runs:
        return f"{folder} is no run: there is no {folder / CONFIG}."
    newest = max(runs, key=lambda run: (run / CONFIG).stat().st_mtime)
    if len(runs) == 1:
        return f"{folder} is no run, but there is one in it: {newest}"
    return f"{folder} is no run, but there are {len(runs)} in it. Name one of them; the newest is {newest}"


def _runs_in(folder: Path) -> list[Path]:
    """The runs in a folder that is none, the fewest levels below it: further down are the parts of these."""
    for depth in range(1, DEPTH + 1):
        runs = [file.parent for file in folder.glob("*/" * depth + CONFIG)]
        if runs:
            return [run for run in runs if not (run / EXPORTED).is_file()]
    return []


def checkpoint_of(run_dir: Path, config: Config) -> Path:
    """Where the parameters are that the last stage ended with."""
    return run_dir / f"{list(config['stages'])[-1]}.pth"


def check_finished(run_dir: Path, model: str, dataset: Any, setting: str) -> None:
    """Raise UserError unless `run_dir` is a finished run of `model` on the data and the split of `dataset`.

    Args:
        model: the canonical name of a model, or of the class that it is built as.
        dataset: any view.
        setting: what named the run, for error messages.
    """
    if (why := why_no_run(run_dir)) is not None:
        raise UserError(f"{setting}: {why}")
    settings = read_mapping(run_dir / CONFIG)
    if model not in (settings["model"], settings["base_model"]):
        raise UserError(f"{setting}: {run_dir} is a run of {settings['model']}, not of {model}.")
    # A part of a composite run has no record of its own.
    record = next((folder / RESULT for folder in (run_dir, run_dir.parent) if (folder / RESULT).is_file()), None)
    if record is None:
        raise UserError(f"{setting}: {run_dir} is not finished, it has no {RESULT}. Go on with --resume={run_dir}")
    if (why := why_other_data(read_record(record), dataset)) is not None:
        raise UserError(f"{setting}: {run_dir} is of other data: {why}.")


def why_other_data(record: dict[str, Any], dataset: Any) -> str | None:
    """In what the data and the split of a record, or of a study's cell, differ from those of `dataset`; None where in
    nothing.

    Args:
        dataset: any view, or what else has its `protocol`.
    """
    theirs = record["protocol"]
    differing = ((key, ours) for key, ours in dataset.protocol.items() if theirs.get(key) != ours)
    return next((f"its {key} is {theirs.get(key)}, not {ours}" for key, ours in differing), None)
