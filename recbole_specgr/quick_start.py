"""The story of a run, from a model's name to its result record; and a finished run loaded again."""

from dataclasses import dataclass, replace
from logging import getLogger
from pathlib import Path
from typing import Any, NamedTuple

from recbole.data import data_preparation
from recbole.utils import init_seed

from recbole_specgr.building.build import build_model, make_planned_items, model_of
from recbole_specgr.building.plan import Plan, epochs_options, epochs_statement, plan_model, preset_statements
from recbole_specgr.building.warm_start import warm_start
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.evaluation import check_topk
from recbole_specgr.items.catalogue import ITEMS, Catalogue
from recbole_specgr.models.item_tables import caches
from recbole_specgr.runs.begun import check_same_data, command_begun_with, keep_begun
from recbole_specgr.runs.checkpoint import load_checkpoint, restore_model
from recbole_specgr.runs.collecting import build_record, count_parameters, rank_columns
from recbole_specgr.runs.configure import configure
from recbole_specgr.runs.folder import LAST, checkpoint_of, read_config, write_config
from recbole_specgr.runs.new_folder import run_folder
from recbole_specgr.runs.record import RESULT, write_result
from recbole_specgr.runs.report import (
    describe_data,
    few_new_items,
    how_to_show,
    next_to_no_drafts,
    none_can_be_listed,
    places_lost,
    three_part_table,
)
from recbole_specgr.runs.trained_before import check_trained_alike, training_of, use_own_inference
from recbole_specgr.runs.trained_out import remark
from recbole_specgr.runs.unread import check_given, tell_of, unread
from recbole_specgr.settings.config import Config
from recbole_specgr.system.interruption import heeding_sigterm
from recbole_specgr.system.log import RunLog, run_log
from recbole_specgr.system.processes import leave_processes
from recbole_specgr.training import StagedTrainer, make_trainer
from recbole_specgr.training.tuning import Tuning, check_tuning, grid_that_is_read, tune


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
        `model_file` (None when not `saved`), `record` (what result.json holds), `unread` (names of settings that were
        given and that nothing read).

    Raises:
        UserError: a mistake in what was given.
        KeyboardInterrupt: after Ctrl-C; `last.pth` in the run's folder is what `resume` goes on from.
        Terminated: after SIGTERM, in the main thread; what is done is in the run's folder.
    """
    try:
        with heeding_sigterm():
            config, resumes = configure(model, dataset, config_file_list, config_dict)
            with run_log(leads=not config["rank"]) as log:
                return _run(config, resumes, saved, log)
    finally:
        leave_processes()


def _run(config: Config, resumes: bool, saved: bool, log: RunLog) -> dict[str, Any]:
    init_seed(config["seed"], config["reproducibility"])
    data = Loaders(*_load_data(config)[1:])
    for view in (data.valid._dataset, data.test._dataset):
        check_topk(config["topk"], view.candidates, view.phase)
    with run_folder(config, log) as run_dir:
        _begin(config, data, run_dir, resumes)
        run = _prepare(config, data, run_dir, resumes)
        score, valid_result = _train(run, resumes, saved)
    if tuning := _tune(run):
        score, valid_result = tuning.score, tuning.result
    test_result = _test(run)
    record = _write(run, valid_result, test_result, tuning)
    never_read = _end(run, record)
    return {
        "best_valid_score": score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": valid_result,
        "test_result": test_result,
        "run_dir": str(run_dir),
        "model_file": run.trainer.saved_model_file if saved else None,
        "record": record,
        "unread": never_read,
    }


class Loaders(NamedTuple):
    """RecBole's loaders of the three phases. The view of each is its `_dataset`."""

    train: Any
    valid: Any
    test: Any


@dataclass
class Run:
    """A run that is ready to be trained.

    Attributes:
        config: its settings.
        data: its phases.
        folder: where it writes.
        trainer: has the model.
        parameters: number of all and of trained parameters.
        epochs: stage -> the setting that says how many epochs it may have, and its value.
        grid: settings of inference that are tuned -> the values to be tried.
        told: names of settings that were given without effect and that were said before training.
    """

    config: Config
    data: Loaders
    folder: Path
    trainer: StagedTrainer
    parameters: dict[str, int]
    epochs: dict[str, tuple[str, int]]
    grid: dict[str, list[Any]]
    told: set[str]


def _begin(config: Config, data: Loaders, run_dir: Path, resumes: bool) -> None:
    """Say what is run on what, and keep what it begins with. Raises UserError where a run would go on on other data."""
    logger = getLogger()
    train, valid, test = (loader._dataset for loader in data)
    logger.info(f"{config['model']} on {config['dataset']}, seed {config['seed']}: {run_dir}")
    logger.info(describe_data(train, valid, test))
    for view in (valid, test):
        if all_listed := few_new_items(view, config["topk"]):
            logger.warning(all_listed)
    if resumes:
        check_same_data(run_dir, train)
        if (run_dir / RESULT).is_file() and (run_dir / LAST).is_file():
            logger.info(f"{run_dir} was finished: nothing is trained any more, and it is evaluated again.")
    elif not config["rank"]:
        keep_begun(run_dir, train)


def _prepare(config: Config, data: Loaders, run_dir: Path, resumes: bool) -> Run:
    """Build the model and its trainer, and check what was given before anything is trained."""
    logger = getLogger()
    plan, model = _build(config, data.train._dataset)
    if config["trained_run"]:
        use_own_inference(config, model)
        if not config["rank"]:
            write_config(run_dir, config)
    parameters = count_parameters(model)
    logger.info(f"{parameters['total']:,} parameters, {parameters['trainable']:,} trained, on {config['device']}")
    for statement in preset_statements(plan) if parameters["trainable"] else ():
        logger.info(statement)
    epochs = epochs_options(plan, model)
    if epochs_of_others := epochs_statement(config, epochs):
        logger.info(epochs_of_others)
    trainer = make_trainer(config, model)
    grid = grid_that_is_read(config, model.decoding)
    check_tuning(config, grid, model.decoding, data.valid._dataset)
    classes = [part.model_class for part in plan.named().values()]
    told = set() if resumes else check_given(config, classes, plan.model_class.parts_in_order)
    return Run(config, data, run_dir, trainer, parameters, epochs, grid, told)


def _build(config: Config, train: InductiveDataset) -> tuple[Plan, Any]:
    """What the model is made of, and the model with the parameters that training starts from."""
    init_seed(config["seed"], config["reproducibility"])
    plan = plan_model(config, train)
    items = make_planned_items(plan, train)
    # What making the items drew depends on what the cache and the run's folder already had of them.
    init_seed(config["seed"], config["reproducibility"])
    model = build_model(plan, train, items).to(config["device"])
    warm_start(plan, model)
    return plan, model


def _train(run: Run, resumes: bool, saved: bool) -> tuple[Any, Any]:
    """Train, or take over what another run has trained: the best valid score, and all metrics of it."""
    config, trainer, progress = run.config, run.trainer, run.config["show_progress"]
    if config["trained_run"]:
        check_trained_alike(config, trainer.model.decoding)
        return trainer.keep(run.data.valid, saved=saved, show_progress=progress)
    if resumes and (run.folder / LAST).is_file():  # else it was interrupted before training began
        trainer.resume_checkpoint(run.folder / LAST)
    return trainer.fit(run.data.train, run.data.valid, saved=saved, show_progress=progress)


def _tune(run: Run) -> Tuning | None:
    """Choose settings of inference on valid where there is a grid of them; the run's settings have them from now on."""
    if not run.grid:
        return None
    config = run.config
    tuning = tune(run.trainer, run.data.valid, run.grid, config["show_progress"])
    for key, value in tuning.choice.items():
        config[key] = value
    if not config["rank"]:
        write_config(run.folder, config)
    return tuning


def _test(run: Run) -> dict[str, float]:
    """Rank the test phase, and show its metrics."""
    config = run.config
    result = run.trainer.evaluate(run.data.test, load_best_model=False, show_progress=config["show_progress"])
    getLogger().info("test\n" + three_part_table(result, config["metrics"], config["topk"]))
    if none_can := none_can_be_listed(config["model"], run.trainer.model.inductive, result):
        getLogger().info(none_can)
    return result


def _write(run: Run, valid_result: Any, test_result: dict[str, float], tuning: Tuning | None) -> dict[str, Any]:
    """Write the run's record, ranks and items. Returns the record."""
    config, trainer, valid, test = run.config, run.trainer, run.data.valid._dataset, run.data.test._dataset
    record = build_record(config, valid, test, trainer, valid_result, test_result, run.parameters)
    record["command"] = command_begun_with(run.folder) or record["command"]
    if config["trained_run"]:
        record |= training_of(Path(config["trained_run"]), record)
    if tuning:
        record["tuning"] = tuning.record()
    if not config["rank"]:
        record = write_result(run.folder, record, rank_columns(trainer.rows, test))
        kept = {name: cache.float().cpu().numpy() for name, cache in caches(trainer.model).items()}
        replace(Catalogue.from_dataset(config, test), caches=kept).save(run.folder / ITEMS)
    return record


def _end(run: Run, record: dict[str, Any]) -> list[str]:
    """Say what makes the result less than it looks, and where it is. Returns the names of settings that were given and
    that nothing read."""
    logger, config, trainer = getLogger(), run.config, run.trainer
    listed = trainer.listed
    if listed and (no_drafts := next_to_no_drafts(listed.drafted, trainer.model.decoding)):
        logger.warning(no_drafts)
    if listed and (lost := places_lost(listed.had)):
        logger.info(lost)
    if not_trained_out := remark(record, {stage: key for stage, (key, _) in run.epochs.items()}):
        logger.warning(not_trained_out)
    never_read = unread(config)
    tell_of(config, {name: source for name, source in never_read.items() if name not in run.told})
    logger.info(f"{record['test']['users_per_second']:,.0f} users/s; all results: {run.folder / RESULT}")
    if elsewhere := how_to_show(run.folder, Path(config["runs_path"]), config["dataset"]):
        logger.info(elsewhere)
    return sorted(never_read)


def load_data_and_model(path: str | Path, config_dict: dict[str, Any] | None = None) -> tuple[Any, ...]:
    """Load a run: its folder, or one of the checkpoints in it. `config_dict` overrides settings (`data_path`, ...).

    Returns:
        config, model, dataset, train_data, valid_data, test_data, as RecBole's function of this name. With
        `training.make_trainer(config, model).evaluate(test_data, load_best_model=False)` the model is tested again.

    Raises:
        FileNotFoundError: no such run or checkpoint.
        UserError: the checkpoint is truncated, or does not fit the run's model and data, or the data set numbers its
            items otherwise than when the run was trained.
    """
    path = Path(path)
    run_dir = path if path.is_dir() else path.parent
    config = read_config(run_dir, config_dict)
    file = checkpoint_of(run_dir, config) if path.is_dir() else path
    checkpoint = load_checkpoint(file, config["device"])
    init_seed(config["seed"], config["reproducibility"])
    dataset, train_data, *others = _load_data(config)
    _check_items(run_dir, dataset)
    model = model_of(config, train_data._dataset).to(config["device"])
    restore_model(model, checkpoint, file)
    return config, model, dataset, train_data, *others


def _check_items(run_dir: Path, dataset: InductiveDataset) -> None:
    """Raise UserError where as many items as the run has are others, or in another order. Of more or fewer, parameters
    that are of single items don't fit, and those that map texts may be used."""
    if (run_dir / ITEMS).is_file():
        catalogue = Catalogue.load(run_dir / ITEMS)
        if len(catalogue.item_tokens) == dataset.item_num:
            catalogue.check_same_items(dataset)


def _load_data(config: Config) -> tuple[Any, ...]:
    """The whole data set, and RecBole's loaders of its train, valid and test views; settings that follow from the data
    are set.

    Raises:
        UserError: there is no such data set, or RecBole can't read it as the settings say.
    """
    config.check_data()
    dataset = InductiveDataset(config)
    config.follow_data(dataset.size)
    return dataset, *data_preparation(config, dataset)
