"""The story of a run, from a model's name to its result record; and a finished run loaded again."""

from dataclasses import replace
from logging import getLogger
from pathlib import Path
from typing import Any

from recbole.data import data_preparation
from recbole.utils import init_seed

from recbole_specgr.building.build import build_model, make_planned_items, model_of
from recbole_specgr.building.plan import epochs_options, epochs_statement, plan_model, preset_statements
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
from recbole_specgr.runs.report import describe_data, few_new_items, how_to_show, next_to_no_drafts, three_part_table
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
    logger, progress = getLogger(), config["show_progress"]
    init_seed(config["seed"], config["reproducibility"])
    _, train_data, valid_data, test_data = _load_data(config)
    train, valid, test = (data._dataset for data in (train_data, valid_data, test_data))
    for view in (valid, test):
        check_topk(config["topk"], view.candidates, view.phase)

    with run_folder(config, log) as run_dir:
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
        init_seed(config["seed"], config["reproducibility"])
        plan = plan_model(config, train)
        items = make_planned_items(plan, train)
        # What making the items drew depends on what the cache and the run's folder already had of them.
        init_seed(config["seed"], config["reproducibility"])
        model = build_model(plan, train, items).to(config["device"])
        warm_start(plan, model)
        if config["trained_run"]:
            use_own_inference(config, model)
            if not config["rank"]:
                write_config(run_dir, config)
        parameters = count_parameters(model)
        logger.info(f"{parameters['total']:,} parameters, {parameters['trainable']:,} trained, on {config['device']}")
        options = epochs_options(plan, model)
        for statement in preset_statements(plan) if parameters["trainable"] else ():
            logger.info(statement)
        if epochs_of_others := epochs_statement(config, options):
            logger.info(epochs_of_others)

        trainer = make_trainer(config, model)
        grid = grid_that_is_read(config, model.decoding)
        check_tuning(config, grid, model.decoding, valid)
        classes = [part.model_class for part in plan.named().values()]
        told = set() if resumes else check_given(config, classes, plan.model_class.parts_in_order)
        if config["trained_run"]:
            check_trained_alike(config, model.decoding)
            score, valid_result = trainer.keep(valid_data, saved=saved, show_progress=progress)
        else:
            if resumes and (run_dir / LAST).is_file():  # else it was interrupted before training began
                trainer.resume_checkpoint(run_dir / LAST)
            score, valid_result = trainer.fit(train_data, valid_data, saved=saved, show_progress=progress)

    tuning = _tune(trainer, valid_data, grid, run_dir)
    if tuning:
        score, valid_result = tuning.score, tuning.result
    test_result = trainer.evaluate(test_data, load_best_model=False, show_progress=progress)
    logger.info("test\n" + three_part_table(test_result, config["metrics"], config["topk"]))

    record = build_record(config, valid, test, trainer, valid_result, test_result, parameters)
    record["command"] = command_begun_with(run_dir) or record["command"]
    if config["trained_run"]:
        record |= training_of(Path(config["trained_run"]), record)
    if tuning:
        record["tuning"] = tuning.record()
    if not config["rank"]:
        record = write_result(run_dir, record, rank_columns(trainer.rows, test))
        kept = {name: cache.float().cpu().numpy() for name, cache in caches(model).items()}
        replace(Catalogue.from_dataset(config, test), caches=kept).save(run_dir / ITEMS)
    if no_drafts := next_to_no_drafts(trainer.drafted_share, trainer.model.decoding):
        logger.warning(no_drafts)
    if not_trained_out := remark(record, {stage: key for stage, (key, _) in options.items()}):
        logger.warning(not_trained_out)
    never_read = unread(config)
    tell_of(config, {name: source for name, source in never_read.items() if name not in told})
    logger.info(f"{record['test']['users_per_second']:,.0f} users/s; all results: {run_dir / RESULT}")
    if elsewhere := how_to_show(run_dir, Path(config["runs_path"]), config["dataset"]):
        logger.info(elsewhere)
    return {
        "best_valid_score": score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": valid_result,
        "test_result": test_result,
        "run_dir": str(run_dir),
        "model_file": trainer.saved_model_file if saved else None,
        "record": record,
        "unread": sorted(never_read),
    }


def _tune(trainer: StagedTrainer, valid_data: Any, grid: dict[str, list[Any]], run_dir: Path) -> Tuning | None:
    """Choose settings of inference on valid where there is a grid of them; the run's settings have them from now on."""
    if not grid:
        return None
    config = trainer.config
    tuning = tune(trainer, valid_data, grid, config["show_progress"])
    for key, value in tuning.choice.items():
        config[key] = value
    if not config["rank"]:
        write_config(run_dir, config)
    return tuning


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
