"""What a model is made of: its class and settings, its parts', and the finished runs whose parameters it takes over."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole.data.dataset import Dataset

from recbole_specgr.items.catalogue import Catalogue
from recbole_specgr.models.contract import ModelContract, adapted
from recbole_specgr.runs.folder import CONFIG, check_finished, checkpoint_of, read_config, write_config
from recbole_specgr.semantic_ids.fit import IDS
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.presets import describe
from recbole_specgr.settings.registry import get_model, resolve
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.processes import first_rank_first

MACHINE = ("data_path", "cache_path", "use_gpu", "gpu_id", "show_progress")
NOT_COPIED = ("last.pth", "log.txt", "tensorboard")


@dataclass
class Plan:
    """A model that is to be built.

    Attributes:
        config: its settings.
        model_class: its class, with the contract of a model.
        parts: the models that it is made of, by name.
        trained_before: its parameters come from a finished run.
        checkpoint: of that run; None where there is none, or it is gone and not needed any more.
        trained_as: the class that the checkpoint is of, where it is another than the model's.
        taken: it is a part that is used as a finished run left it.
        ids_from: the run that its semantic ids come from, in place of the setting `semantic_ids`.
    """

    config: Config
    model_class: type[ModelContract]
    parts: dict[str, Plan] = field(default_factory=dict)
    trained_before: bool = False
    checkpoint: Path | None = None
    trained_as: str | None = None
    taken: bool = False
    ids_from: str | None = None

    def named(self, name: str = "") -> dict[str, Plan]:
        """The whole, "", and all parts, by their folders in the run's: `drafter`, `first/backbone`."""
        found = {name: self}
        for key, part in self.parts.items():
            found |= part.named(f"{name}/{key}" if name else key)
        return found


def plan_model(config: Config, dataset: Dataset | Catalogue) -> Plan:
    """Find out what a run's model is made of. Parts get folders in the run's, with their settings; finished runs that
    are used as parts are copied there.

    Args:
        config: of the whole. Without a `run_dir` nothing is written.
        dataset: any view, or the items of the finished run that `config` is of.

    Raises:
        UserError: no such model or setting; a run that is not finished, or of another model or other data.
    """
    plan = Plan(config, adapted(config.model_class))
    names = plan.model_class.parts_in_order
    if config["trained_run"]:
        _take_trained(plan, dataset)
    plan.model_class.check_parts(config, {name: adapted(get_model(config[name])) for name in names})
    for name in names:
        plan.parts[name] = _plan_part(config, name, dataset, name in plan.model_class.inheriting_parts)
    if plan.model_class.trained_as:
        _take_over(plan, plan.model_class.trained_as, dataset)
    return plan


def preset_statements(plan: Plan) -> list[str]:
    """What the preset has set for the model and each of its parts, a sentence each. Semantic ids are told of those
    that have any, themselves or in their parts."""
    said = []
    for name, part in plan.named().items():
        config, ids = part.config, any("semantic_ids" in one.model_class.needs for one in part.named().values())
        changes = {key: change for key, change in config.preset_changes.items() if ids or "tokenizer." not in key}
        if changes and config.size is not None:
            said.append((f"{name}: " if name else "") + describe(config["preset"], config.size, changes))
    return said


def epochs_options(plan: Plan, model: Any) -> dict[str, tuple[str, int]]:
    """Which setting says how many epochs each stage of training may have: the stage, as the record's `training` names
    it -> the setting's dotted name, and its value. What is not trained has none.

    Args:
        model: the model that is built of the plan.
    """
    config, found = plan.config, {}
    if plan.trained_before or not any(parameter.requires_grad for parameter in model.parameters()):
        return {}
    if not plan.parts:
        for stage, settings in config["stages"].items():
            own = "epochs" in settings
            found[stage] = f"stages.{stage}.epochs" if own else "epochs", (settings if own else config)["epochs"]
        return found
    for name, part in plan.parts.items():
        of_whole = name in plan.model_class.inheriting_parts and "epochs" not in (config[f"{name}_settings"] or {})
        for stage, (key, epochs) in epochs_options(part, model.parts[name]).items():
            label = name if len(part.config["stages"]) == 1 else f"{name}.{stage}"
            if key == "epochs" and "epochs" in config["stages"][name]:
                key = f"stages.{name}.epochs"
            elif key != "epochs" or not of_whole:
                key = f"{name}_settings.{key}"
            found[label] = key, epochs
    return found


def epochs_statement(config: Config, options: Mapping[str, tuple[str, int]]) -> str:
    """What the epochs that the user gave do not reach, and how to set those; "" where they reach all that is trained,
    or where all the others are given, too.

    Args:
        config: of the whole.
        options: what `epochs_options` gives.
    """
    given = config.given()
    others = {label: found for label, found in options.items() if found[0] != "epochs" and found[0] not in given}
    if "epochs" not in given or not others:
        return ""
    said = "; ".join(f"{label} has up to {epochs}: --{key}" for label, (key, epochs) in others.items())
    return f"--epochs is not the number of epochs of all that is trained ({said})."


def _plan_part(config: Config, name: str, dataset: Dataset | Catalogue, inherits: bool) -> Plan:
    """The part `name`: the model that the setting NAME names, with `NAME_settings` over its own property files, or the
    finished run that `NAME_run` names.

    Args:
        inherits: it takes the settings that it knows from the whole (see `Config.part`).
    """
    folder = Path(config["run_dir"]) / name if config["run_dir"] else None
    run = Path(config[f"{name}_run"]) if config[f"{name}_run"] else None
    machine = {key: config.to_dict()[key] for key in MACHINE}
    with first_rank_first():
        if run and not (folder and (folder / CONFIG).is_file()):
            check_finished(run, resolve(config[name]).name, dataset, f"[{name}_run]")
            if folder:
                _copy_run(run, folder)
        begun = folder if folder and (folder / CONFIG).is_file() else run
        if begun:
            part_config = read_config(begun, machine)
        else:
            given = {**(config[f"{name}_settings"] or {}), **config["stages"][name]}
            part_config = config.part(config[name], given, f"the settings of [{name}]", inherits)
            if folder:
                part_config["run_dir"] = part_config["checkpoint_dir"] = str(folder)
                write_config(folder, part_config)
    plan = plan_model(part_config, dataset)
    if run:
        plan.checkpoint, plan.trained_as = checkpoint_of(begun or run, part_config), None
        plan.trained_before = plan.taken = True
    return plan


def _take_trained(plan: Plan, dataset: Dataset | Catalogue) -> None:
    """Let the model have the ids and the parameters of the finished run of it that `trained_run` names. A run that has
    them can do without the other."""
    config, run = plan.config, Path(plan.config["trained_run"])
    plan.trained_before = True
    if config["run_dir"] and (own := checkpoint_of(Path(config["run_dir"]), config)).is_file():
        plan.checkpoint = own
        return
    if plan.model_class.parts_in_order:
        parts = " ".join(f"--{name}_run={run / name}" for name in plan.model_class.parts_in_order)
        raise UserError(
            f"[trained_run: {run}]: {config['model']} is made of models. Name what these are taken from: {parts}"
        )
    check_finished(run, config["base_model"], dataset, "[trained_run]")
    plan.ids_from = str(run)
    plan.checkpoint = checkpoint_of(run, read_config(run))


def _take_over(plan: Plan, name: str, dataset: Dataset | Catalogue) -> None:
    """Let the model have the ids and the parameters of the finished run of the model `name`, where one is named."""
    config = plan.config
    if not config[f"{name}_run"]:
        return
    run = Path(config[f"{name}_run"])
    # A run that has its ids was begun before, and can do without the other.
    if not (config["run_dir"] and Path(config["run_dir"], IDS).is_file()):
        check_finished(run, resolve(config[name]).name, dataset, f"[{name}_run]")
        plan.ids_from = str(run)
    plan.checkpoint = checkpoint_of(run, read_config(run)) if run.is_dir() else None
    plan.trained_as = get_model(config[name]).__name__
    plan.trained_before = True


def _copy_run(run: Path, folder: Path) -> None:
    """Copy a run whole or, when interrupted, not at all."""
    partial = folder.with_name(f".{folder.name}")
    for left in (partial, folder):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(run, partial, ignore=shutil.ignore_patterns(*NOT_COPIED))
    partial.rename(folder)
