"""Run a model from its name to its result record, and load a run again."""

import copy
import shutil
import time
from dataclasses import replace
from logging import getLogger
from pathlib import Path
from typing import Any

import torch
from recbole.data import data_preparation
from recbole.data.dataset import Dataset
from recbole.utils import init_seed

from recbole_specgr.evaluation import check_topk
from recbole_specgr.items.catalogue import ITEMS, Catalogue
from recbole_specgr.models.contract import adapted
from recbole_specgr.models.item_tables import caches
from recbole_specgr.runs.checkpoint import load_checkpoint, restore_model
from recbole_specgr.runs.collecting import build_record, rank_columns
from recbole_specgr.runs.comparison import alike
from recbole_specgr.runs.folder import CONFIG, checkpoint_of, read_config, write_config
from recbole_specgr.runs.record import RESULT, write_result
from recbole_specgr.runs.report import three_part_table
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.registry import get_dataset_class, get_trainer, resolve
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.interruption import heeding_sigterm
from recbole_specgr.system.log import run_log
from recbole_specgr.system.processes import from_first_process, leave_processes
from recbole_specgr.training import LAST
from recbole_specgr.training.tuning import tune


def run_recbole(
    model: str | type | None = None,
    dataset: str | None = None,
    config_file_list: list[str] | None = None,
    config_dict: dict[str, Any] | None = None,
    saved: bool = True,
) -> dict[str, Any]:
    """Train `model` on `dataset`, test it, and write `runs/<dataset>/<model>/<id>/`.

    Args:
        model, dataset: names; None takes them from the settings.
        config_file_list: YAML files of settings.
        config_dict: settings, over the files. `resume` is a run's folder to go on in, or `auto` for the newest
            unfinished run with these settings, or a new one where there is none.
        saved: keep checkpoints.

    Returns:
        RecBole's `best_valid_score`, `valid_score_bigger`, `best_valid_result`, `test_result`, and `run_dir`,
        `model_file` (None when not `saved`), `record` (what result.json holds).

    Raises:
        UserError: a mistake in what was given.
        KeyboardInterrupt: after Ctrl-C; `last.pth` in the run's folder is what `resume` goes on from.
        Terminated: after SIGTERM, in the main thread; what is done is in the run's folder.
    """
    try:
        with heeding_sigterm():
            config, resumes = _configure(model, dataset, config_file_list, config_dict)
            with run_log(leads=not config["rank"]) as log:
                return _run(config, resumes, saved, log)
    finally:
        leave_processes()


def load_data_and_model(path: str | Path, config_dict: dict[str, Any] | None = None):
    """Load a run: its folder, or one of the checkpoints in it. `config_dict` overrides settings (`data_path`, ...).

    Returns:
        config, model, dataset, train_data, valid_data, test_data, as RecBole's function of this name. With
        `get_trainer(config)(config, model).evaluate(test_data, load_best_model=False)` the model is tested again.

    Raises:
        FileNotFoundError: no such run or checkpoint.
        UserError: the checkpoint is truncated, or does not fit the run's model and data.
    """
    path = Path(path)
    run_dir = path if path.is_dir() else path.parent
    config = read_config(run_dir, config_dict)
    file = checkpoint_of(run_dir, config) if path.is_dir() else path
    checkpoint = load_checkpoint(file, config["device"])
    init_seed(config["seed"], config["reproducibility"])
    dataset, loaders = _load_data(config)
    model = adapted(config.model_class)(config, loaders[0]._dataset).to(config["device"])
    restore_model(model, checkpoint, file)
    return config, model, dataset, *loaders


def _configure(model, dataset, config_file_list, config_dict) -> tuple[Config, bool]:
    """The run's settings, and whether it goes on from an earlier one."""
    config_dict = copy.copy(config_dict) or {}
    resume = config_dict.pop("resume", None)
    if not resume:
        return Config(model, dataset, config_file_list, config_dict), False
    if resume == "auto":
        config = Config(model, dataset, config_file_list, config_dict)
        run_dir = from_first_process(_newest_unfinished(config) if not config["rank"] else None)
        if run_dir is None:
            return config, False
    else:
        run_dir = Path(resume)
    if not (run_dir / CONFIG).is_file():
        raise UserError(f"[resume: {resume}] is no run that can go on: there is no {run_dir / CONFIG}.")
    settings = read_mapping(run_dir / CONFIG)
    for key, given in (("model", model and resolve(model).name), ("dataset", dataset)):
        if given and given != settings[key]:
            raise UserError(f"[resume: {resume}] is a run of {key} {settings[key]}, not {given}.")
    config_dict["run_dir"] = str(run_dir)
    return Config(settings["model"], settings["dataset"], config_file_list, config_dict, settings=settings), True


def _newest_unfinished(config: Config) -> Path | None:
    """The run without a result that was begun last, of the same seed and of settings that lead to the same model."""
    ours = config.to_dict()
    files = [file for file in _runs_folder(config).glob(f"*/{CONFIG}") if not (file.parent / RESULT).is_file()]
    for file in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        theirs = read_mapping(file)
        if theirs["seed"] == ours["seed"] and alike(theirs, ours):
            return file.parent
    return None


def _run(config: Config, resumes: bool, saved: bool, log) -> dict[str, Any]:
    logger, created = getLogger(), False
    init_seed(config["seed"], config["reproducibility"])
    _, (train_data, valid_data, test_data) = _load_data(config)
    for data in (valid_data, test_data):
        check_topk(config["topk"], data._dataset.candidates, data._dataset.phase)
    if config["run_dir"] is None:
        config["run_dir"], created = str(_new_run_dir(config)), True
    run_dir = Path(config["run_dir"])
    config["checkpoint_dir"] = str(run_dir)
    try:
        if not config["rank"]:
            _open_run(run_dir, config, log)
        logger.info(f"{config['model']} on {config['dataset']}, seed {config['seed']}: {run_dir}")
        logger.info(_describe_data(train_data._dataset, valid_data._dataset, test_data._dataset))
        init_seed(config["seed"], config["reproducibility"])
        model = adapted(config.model_class)(config, train_data._dataset).to(config["device"])
        trainer = get_trainer(config)(config, model)
        if resumes and (run_dir / LAST).is_file():  # else it was interrupted before training began
            trainer.resume_checkpoint(run_dir / LAST)
        parameters = _count_parameters(model)
        logger.info(f"{parameters['total']:,} parameters, {parameters['trainable']:,} trained, on {config['device']}")
        score, valid_result = trainer.fit(train_data, valid_data, saved=saved, show_progress=config["show_progress"])
    except BaseException:
        if created and not config["rank"] and not (run_dir / LAST).is_file():  # nothing to go on from: leave nothing
            log.close()
            shutil.rmtree(run_dir, ignore_errors=True)
        raise
    tuning = tune(trainer, valid_data, config["tune"], config["show_progress"]) if config["tune"] else None
    if tuning:
        score, valid_result = tuning.score, tuning.result
        for key, value in tuning.choice.items():
            config[key] = value
        if not config["rank"]:
            write_config(run_dir, config)  # whoever loads the run gets what was chosen
    test_result = trainer.evaluate(test_data, load_best_model=False, show_progress=config["show_progress"])
    record = build_record(config, test_data._dataset, trainer, valid_result, test_result, parameters)
    if tuning:
        record["tuning"] = tuning.record()
    if not config["rank"]:
        record = write_result(run_dir, record, rank_columns(trainer.rows, test_data._dataset))
        _keep_items(run_dir, config, test_data._dataset, model)
    logger.info("test\n" + three_part_table(test_result, config["metrics"], config["topk"]))
    logger.info(f"{record['test']['users_per_second']:,.0f} users/s; all results: {run_dir / RESULT}")
    return {
        "best_valid_score": score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": valid_result,
        "test_result": test_result,
        "run_dir": str(run_dir),
        "model_file": trainer.saved_model_file if saved else None,
        "record": record,
    }


def _keep_items(run_dir: Path, config: Config, test: Dataset, model: torch.nn.Module) -> None:
    """Leave with the run what `recbole_specgr.serving` needs to use it without the data set."""
    kept = {name: cache.float().cpu().numpy() for name, cache in caches(model).items()}
    replace(Catalogue.from_dataset(config, test), caches=kept).save(run_dir / ITEMS)


def _load_data(config: Config):
    """The whole data set, and RecBole's loaders of its train, valid and test views."""
    config.check_data()
    dataset = get_dataset_class(config)(config)
    return dataset, data_preparation(config, dataset)


def _runs_folder(config: Config) -> Path:
    return Path(config["runs_path"], config["dataset"], config["model"])


def _new_run_dir(config: Config) -> Path:
    """Make `runs/<dataset>/<model>/<time>-seed<seed>[-number]`, which nobody else has; one for all processes."""
    name = None
    if not config["rank"]:
        stem = f"{time.strftime('%Y%m%d-%H%M%S')}-seed{config['seed']}"
        for number in range(1, 1000):
            run_dir = _runs_folder(config) / (stem if number == 1 else f"{stem}-{number}")
            try:
                run_dir.mkdir(parents=True)
                break
            except FileExistsError:
                continue
        name = str(run_dir)
    return Path(from_first_process(name))


def _open_run(run_dir: Path, config: Config, log) -> None:
    run_dir.mkdir(parents=True, exist_ok=True)
    write_config(run_dir, config)
    log.write_to(run_dir / "log.txt")


def _describe_data(train, valid, test) -> str:
    def part(view) -> str:
        targets = view.inter_feat[view.iid_field]
        unseen = f", {(~view.seen[targets]).float().mean():.1%} unseen" if view.phase != "train" else ""
        return f"{view.phase} {len(view):,} rows{unseen}"

    candidates, seen = int(test.candidates.sum()), int(test.seen.sum())
    return f"{'; '.join(map(part, (train, valid, test)))}; {seen:,} of {candidates:,} items seen"


def _count_parameters(model: torch.nn.Module) -> dict[str, int]:
    """Numbers of all parameters, of the trained ones, of those in embedding tables, and of all that stays as it is
    (frozen parameters and text features)."""
    trained = {id(parameter): parameter.numel() for parameter in model.parameters() if parameter.requires_grad}
    tables = [module.weight for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    total = sum(parameter.numel() for parameter in model.parameters())
    features = sum(buffer.numel() for buffer in model.buffers() if buffer.is_floating_point())
    return {
        "total": total,
        "trainable": sum(trained.values()),
        "embedding": sum(trained[key] for key in {id(table) for table in tables} & trained.keys()),
        "frozen": total - sum(trained.values()) + features,
    }
