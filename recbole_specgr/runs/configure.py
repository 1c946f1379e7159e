"""The settings of a run: of a new one, or of one that was interrupted and goes on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from recbole_specgr.models.contract import ModelContract, adapted
from recbole_specgr.runs.comparison import SOURCE, changed, sources, would_be
from recbole_specgr.runs.folder import CONFIG, read_settings, runs_of, why_no_run
from recbole_specgr.runs.record import RESULT
from recbole_specgr.runs.trained_before import settings_of_training
from recbole_specgr.settings.config import Config, Settings
from recbole_specgr.settings.registry import resolve
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.processes import from_first_process


def configure(
    model: str | type | None,
    dataset: str | None,
    config_file_list: list[str] | None,
    config_dict: dict[str, Any] | None,
) -> tuple[Config, bool]:
    """A run's settings, and whether it goes on from an earlier one, which `resume` in `config_dict` asks for.

    Raises:
        UserError: settings that can't be; a folder to go on in that is no run, or one of something else; a folder for
            a new run that holds one.
    """
    config_dict = copy.copy(config_dict) or {}
    resume = config_dict.pop("resume", None)
    if not resume:
        config = _new_config(model, dataset, config_file_list, config_dict)
        _check_holds_no_run(config)
        return config, False
    if resume == "auto":
        config = _new_config(model, dataset, config_file_list, config_dict)
        run_dir = from_first_process(_newest_unfinished(config) if not config["rank"] else None)
        if run_dir is None:
            _check_holds_no_run(config)
            return config, False
    else:
        run_dir = Path(resume)
    if (why := why_no_run(run_dir)) is not None:
        raise UserError(f"[resume: {resume}] can't go on: {why}")
    settings = read_settings(run_dir)
    named = resolve(model).name if isinstance(model, str) else model and model.__name__
    for key, given in (("model", named), ("dataset", dataset)):
        if given and given != settings[key]:
            raise UserError(f"[resume: {resume}] is a run of {key} {settings[key]}, not {given}.")
    config_dict["run_dir"] = str(run_dir)
    config = Config(settings["model"], settings["dataset"], config_file_list, config_dict, settings=settings)
    _check_unchanged(Config.from_dict(settings, {"run_dir": str(run_dir)}), config)
    return config, True


def _new_config(
    model: str | type | None,
    dataset: str | None,
    config_file_list: list[str] | None,
    config_dict: dict[str, Any],
) -> Config:
    """The settings of a new run. A part that is taken from a finished run, and that nobody names, is what that run is
    of: `drafter_run` alone says what the `drafter` is. What nobody gives of the training is as in the run that
    `trained_run` names."""
    config = Config(model, dataset, config_file_list, config_dict)
    given, settings = config.given(), config.final_config_dict
    model_class: type[ModelContract] = adapted(config.model_class)
    unnamed = [part for part in model_class.parts_in_order if part not in given]
    runs = {part: Path(settings[f"{part}{SOURCE}"] or "") for part in unnamed}
    names = {part: read_settings(run)["model"] for part, run in runs.items() if (run / CONFIG).is_file()}
    if not all(settings[part] == name for part, name in names.items()):
        source = config_dict.source if isinstance(config_dict, Settings) else "config_dict"
        config_dict = Settings({**config_dict, **names}, source)
        config = Config(model, dataset, config_file_list, config_dict)
    trained = settings_of_training(config)
    return Config(model, dataset, config_file_list, config_dict, trained=trained) if trained else config


def _check_holds_no_run(config: Config) -> None:
    """Raise UserError where a new run is to begin in the folder of another.

    It would keep the other's semantic ids, text vectors and later items, whatever its own settings say. The first
    process looks, before it writes anything there.
    """
    folder = config["run_dir"]
    if from_first_process(not config["rank"] and folder is not None and (Path(folder) / CONFIG).is_file()):
        raise UserError(
            f"[run_dir: {folder}] holds a run already. Name another folder, or remove this one. To go on with a run "
            f"that was interrupted: --resume={folder}"
        )


def _check_unchanged(before: Config, now: Config) -> None:
    """Raise UserError where a run would go on with settings that it was not begun with."""
    differences = changed(before.to_dict(), now.to_dict()) | now.changed_code()
    differences.pop("eval_batch_size", None)  # how many users are ranked at once
    if differences:
        values = "; ".join(f"[{key}] was {old}, now it is {new}" for key, (old, new) in sorted(differences.items()))
        raise UserError(
            f"[resume: {now['run_dir']}] can't go on with other settings than the run was begun with: {values}. Leave "
            f"them out to go on. A run that is finished can't be trained for longer, for its learning rate has fallen "
            f"to the end of its schedule: begin a new run with these settings."
        )


def _newest_unfinished(config: Config) -> Path | None:
    """The run without a result that was begun last, of the same seed, of settings that lead to the same model, and
    made of the same runs."""
    ours = config.to_dict()
    files = [file for file in runs_of(config).glob(f"*/{CONFIG}") if not (file.parent / RESULT).is_file()]
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        theirs = read_mapping(file)
        if theirs["seed"] == ours["seed"] and sources(theirs) == sources(ours) and would_be(theirs, config):
            return file.parent
    return None
