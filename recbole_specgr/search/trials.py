"""A search: its folder, its trials, and the processes that run them side by side."""

import json
import multiprocessing
import os
import shutil
import sys
import threading
import time
import traceback
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from recbole_specgr.runs.comparison import differences
from recbole_specgr.search.space import Space
from recbole_specgr.settings.config import Config, Settings
from recbole_specgr.system.allocator import keep_freed_memory
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import locked

JOURNAL = "study.journal"  # in the search's folder
SAMPLES = 20  # how often the sampler is asked for something new before the search counts as exhausted


@dataclass(frozen=True)
class Search:
    """What is searched; plain data, so that another process can be given it.

    Attributes:
        model, dataset, config_files, settings: as `run_recbole` takes them.
        space: what may be tried.
        trials: how many are run in all, over all calls.
        minutes: no trial begins once all that ended took so long together; None: no limit.
        folder: where the study and the trials' runs are.
    """

    model: str
    dataset: str
    config_files: list[str]
    settings: dict[str, Any]
    space: Space
    trials: int
    folder: Path
    minutes: float | None = None

    def config(self, values: dict[str, Any]) -> Config:
        """The settings of a trial. Raises UserError for a value that can't be."""
        given = Settings({**self.settings, **values}, "the search")
        return Config(self.model, self.dataset, self.config_files, given)

    def identity(self) -> dict[str, Any]:
        """What all trials of a study must share: what was given, and under `resolved` all settings as they are before a
        trial has its own values, with what property files say."""
        files = {file: Path(file).read_text(encoding="utf-8") for file in self.config_files}
        settings = {key: value for key, value in self.settings.items() if key != "show_progress"}
        parts = {"model": self.model, "dataset": self.dataset, "config_files": files, "settings": settings}
        return json.loads(json.dumps({**parts, "parameters": self.space.text, "resolved": self.config({}).to_dict()}))

    def study(self, seed: int | None = None) -> optuna.Study:
        """The study in the folder, made when there is none.

        Raises:
            UserError: it is a study of something else.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder.mkdir(parents=True, exist_ok=True)
        storage = JournalStorage(JournalFileBackend(str(self.folder / JOURNAL)))
        config, identity = self.config({}), self.identity()
        study = optuna.create_study(
            storage=storage,
            sampler=optuna.samplers.TPESampler(seed=seed),
            study_name="search",
            direction="maximize" if config["valid_metric_bigger"] else "minimize",
            load_if_exists=True,
        )
        known = study.user_attrs.get("identity")
        if known is None:
            study.set_user_attr("identity", identity)
            study.set_user_attr("metric", config["valid_metric"].lower())
        elif other := self._others(known, identity):
            raise UserError(
                f"{self.folder} holds a search with other {other}. Give this one its own --study=FOLDER, or bring back "
                f"what that one had."
            )
        return study

    def _others(self, known: dict[str, Any], identity: dict[str, Any]) -> str:
        """In what a study that was begun before is another; "" where in nothing. What property files said then is not
        known of studies of earlier versions."""
        before, now = known.get("resolved", identity["resolved"]), identity["resolved"]
        found = {key: (before[key], now[key]) for key in ("seed", "preset") if before[key] != now[key]}
        found |= {key: values for key, values in differences(before, now).items() if not self._searches(key)}
        parts = [key for key in identity if key != "resolved" and known[key] != identity[key]]
        if found:
            settings = "; ".join(f"[{key}] was {old}, now it is {new}" for key, (old, new) in sorted(found.items()))
            parts = [part for part in parts if part not in ("settings", "config_files")]  # said in full
            parts.append(f"settings: {settings}")
        return ", ".join(parts)

    def _searches(self, name: str) -> bool:
        """The setting of that dotted name, or the group that it is in, is searched."""
        return any(name == searched or name.startswith(f"{searched}.") for searched in self.space.distributions)


def run_search(search: Search, jobs: int) -> optuna.Study:
    """Run the trials that are missing, `jobs` at a time, and return the study.

    Raises:
        UserError: the folder holds another search, or one that is running; a parameter is no setting, or may get a
            value that can't be.
    """
    for sampled in search.space.each():
        search.config(search.space.settings(sampled))
    study = search.study()
    with open(search.folder / JOURNAL, "ab") as journal:
        if not locked(journal):
            raise UserError(f"Another process searches in {search.folder}. Wait for its end, or end it first.")
        _run_missing(search, jobs, study)
    return study


def _run_missing(search: Search, jobs: int, study: optuna.Study) -> None:
    missing = _prepare(study, search)
    context = multiprocessing.get_context("spawn")
    tickets = context.Value("i", missing)
    workers = [context.Process(target=_work, args=(search, number, jobs, tickets)) for number in range(jobs)]
    try:
        for worker in workers[:missing]:
            worker.start()
        for worker in workers[:missing]:
            worker.join()
    finally:
        for worker in workers[:missing]:
            if worker.is_alive():
                worker.terminate()
    died = [worker.exitcode for worker in workers[:missing] if worker.exitcode]
    if died:
        print(f"{len(died)} of {jobs} processes ended early (exit status {died[0]}); see {search.folder}/worker-*.log.")


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that were run to an end, good or bad."""
    ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))
    return [trial for trial in ended if "seconds" in trial.user_attrs]


def minutes_of(trials: list[FrozenTrial]) -> float:
    """What finished trials took together."""
    return sum(trial.user_attrs["seconds"] for trial in trials) / 60


def time_is_up(search: Search, study: optuna.Study) -> bool:
    """No further trial may begin."""
    return search.minutes is not None and minutes_of(finished(study)) >= search.minutes


def without_effect(search: Search, trials: list[FrozenTrial]) -> str:
    """The warning about parameters that none of the successful trials read; "" where there are none."""
    good = [trial.user_attrs["unread"] for trial in trials if "unread" in trial.user_attrs]
    names = [name for name in search.space.distributions if good and all(name in unread for unread in good)]
    named = ", ".join(f"[{name}]" for name in names)
    return f"warning: {search.model} does not read {named}: to search it changes nothing." if names else ""


def _prepare(study: optuna.Study, search: Search) -> int:
    """Queue what was interrupted, and at the start the settings as they are; returns how many trials are missing."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):  # of a process that is no more
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    everything = search.space.combinations()
    if everything is not None and len(everything) <= search.trials:
        for combination in everything:
            study.enqueue_trial(combination, skip_if_exists=True)
        return len(everything) - len(finished(study))
    config = search.config({})
    present = search.space.sampled({name: _value(config, name) for name in search.space.distributions})
    if present is not None:
        study.enqueue_trial(present, skip_if_exists=True)
    elif not study.trials:
        print("The settings as they are lie outside of these ranges: they are not among the trials.")
    return max(0, search.trials - len(finished(study)))


def _value(config: Config, name: str) -> Any:
    """A setting by its dotted name; None where a group has no such member."""
    first, *rest = name.split(".")
    value = config[first]
    for key in rest:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _work(search: Search, number: int, jobs: int, tickets) -> None:
    """One process: run trials until no ticket is left. What the runs print goes to `worker-<number>.log`."""
    import torch

    keep_freed_memory()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    console = sys.stdout
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))
    settings = {}
    if torch.cuda.device_count() > 1 and not search.settings.get("gpu_id"):
        settings["gpu_id"] = str(number % torch.cuda.device_count())
    with (
        open(search.folder / f"worker-{number}.log", "a", encoding="utf-8") as log,
        redirect_stdout(log),
        redirect_stderr(log),
    ):
        study = search.study(seed=search.config({})["seed"] + number)
        warning = ""
        while not time_is_up(search, study) and _take(tickets):
            trial = _ask(study, search.space)
            if trial is None:
                break
            _run_trial(search, study, trial, settings)
            ended = study.trials[trial.number]
            score = f"{ended.value:.4f}" if ended.value is not None else ended.user_attrs["error"]
            values = ", ".join(f"{key} {value}" for key, value in search.space.settings(ended.params).items())
            print(f"trial {ended.number}: {study.user_attrs['metric']} {score}  {values}", file=console, flush=True)
            if not warning and (warning := without_effect(search, [ended])):
                print(warning, file=console, flush=True)


def _end_with_parent() -> None:
    """Nobody counts the trials of a search that was killed, and the next one starts its trial again."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _take(tickets) -> bool:
    with tickets.get_lock():
        tickets.value -= 1
        return tickets.value >= 0


def _ask(study: optuna.Study, space: Space) -> optuna.Trial | None:
    """The next trial; None when the sampler has nothing new."""
    for _ in range(SAMPLES):
        trial = study.ask(space.distributions)
        others = [other for other in study.get_trials(deepcopy=False) if other.number < trial.number]
        same = [other for other in others if other.params == trial.params and other.state != TrialState.FAIL]
        if not same:
            return trial
        known = same[0].value
        study.tell(trial, known, state=TrialState.COMPLETE if known is not None else TrialState.FAIL)
    return None


def _run_trial(search: Search, study: optuna.Study, trial: optuna.Trial, settings: dict[str, Any]) -> None:
    from recbole_specgr.quick_start import run_recbole

    started = time.time()
    values = search.space.settings(trial.params)
    given = {**search.settings, **values, **settings, "runs_path": str(search.folder / "runs"), "show_progress": False}
    try:
        result = run_recbole(search.model, search.dataset, search.config_files, Settings(given, "the search"))
    except Exception as error:
        # Any: a size that does not fit, no memory, a loss that is no number. The search goes on and reports it.
        traceback.print_exc()
        trial.set_user_attr("error", f"{type(error).__name__}: {error}".partition("\n")[0])
        trial.set_user_attr("seconds", round(time.time() - started, 1))
        study.tell(trial, state=TrialState.FAIL)
        return
    run_dir = Path(result["run_dir"])
    for checkpoint in run_dir.glob("*.pth"):
        checkpoint.unlink()
    shutil.rmtree(run_dir / "tensorboard", ignore_errors=True)
    stages = result["record"]["training"].values()
    unread = [name for name in search.space.distributions if name in result["unread"]]
    trial.set_user_attr("unread", unread)
    trial.set_user_attr("run_dir", str(run_dir))
    trial.set_user_attr("best_epochs", [stage["best_epoch"] for stage in stages])
    trial.set_user_attr("epochs", [stage["epochs"] for stage in stages])
    trial.set_user_attr("protocol_hash", result["record"]["protocol_hash"])
    trial.set_user_attr("seconds", round(time.time() - started, 1))
    study.tell(trial, result["best_valid_score"])
