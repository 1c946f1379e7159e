"""What a search found: a table of all trials, and the best one's settings as a property file."""

from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.trial import TrialState
from tabulate import tabulate

from recbole_specgr.runs.comparison import ENVIRONMENT, sources
from recbole_specgr.search.trials import Search, finished, minutes_of, time_is_up, without_effect
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.layer_files import merged, property_layers, tuned_layers, tuning_grid
from recbole_specgr.settings.precedence import deep_merge
from recbole_specgr.settings.registry import resolve
from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.terminal import plain_table

SUMMARY, BEST = "summary.md", "best.yaml"


def write_report(search: Search, study: optuna.Study) -> str:
    """Write `summary.md` and `best.yaml` into the search's folder and return what to print."""
    trials = finished(study)
    good = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    good.sort(key=lambda trial: trial.value, reverse=study.direction == optuna.study.StudyDirection.MAXIMIZE)
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    metric, names = study.user_attrs["metric"], list(search.space.distributions)
    rows = []
    for trial in [*good, *failed]:
        values, noted = search.space.settings(trial.params), trial.user_attrs
        rows.append(
            [
                trial.number,
                f"{trial.value:.5f}" if trial in good else "failed",
                *(f"{values[name]:.6g}" if isinstance(values[name], float) else values[name] for name in names),
                "+".join(map(str, noted.get("best_epochs", ["-"]))),
                "+".join(map(str, noted.get("epochs", ["-"]))),
                f"{noted['seconds'] / 60:.1f}",
            ]
        )
    headers = ["trial", f"valid {metric}", *names, "best epoch", "epochs", "minutes"]
    stopped = f" (none begins after {search.minutes:g})" if time_is_up(search, study) else ""
    lines = [
        f"{search.model} on {search.dataset}: {len(trials)} trials in {minutes_of(trials):.1f} minutes{stopped}, "
        f"{len(failed)} failed. "
        f"Chosen on the valid phase; the test phase decides nothing.",
        f"Searched: {'; '.join(search.space.text)}. Fixed: {_inline(search.settings)}.",
    ]
    lines += [f"Trial {trial.number} failed: {trial.user_attrs['error']}" for trial in failed]
    lines += [warning] if (warning := without_effect(search, good)) else []
    if len({trial.user_attrs["protocol_hash"] for trial in good}) > 1:
        lines.append("The data changed between trials: their scores do not compare. Start anew with another --study.")
    with atomic_write(search.folder / SUMMARY) as temporary:
        table = tabulate(rows, headers, tablefmt="github", disable_numparse=True)
        temporary.write_text("\n\n".join([*lines, table]) + "\n", encoding="utf-8")
    shown = [*lines, plain_table(rows, headers, ["left"] * len(headers))]
    if good:
        _write_best(search, good[0], metric, lines[:2])
        shown.append(f"The best trial's settings: {search.folder / BEST}")
    return "\n\n".join(shown)


def _write_best(search: Search, trial, metric: str, lines: list[str]) -> None:
    values = search.space.settings(trial.params)
    config = search.config(values)
    comments = [*lines, f"Best: trial {trial.number}, valid {metric} {trial.value:.5f}."]
    comments.append(
        "Beside what was searched, the settings that were tuned before, and those that the search was given."
    )
    if runs := sources(config.external_config_dict):
        comments.append(f"To be given again: {' '.join(f'--{key}={path}' for key, path in runs.items())}")
    with atomic_write(search.folder / BEST) as temporary:
        text = yaml.safe_dump(tuned_settings(search, values), sort_keys=False, allow_unicode=True)
        temporary.write_text("".join(f"# {line}\n" for line in comments) + text, encoding="utf-8")


def tuned_settings(search: Search, values: dict[str, Any]) -> dict[str, Any]:
    """What a tuned file of the model on the data set must hold so that a run has the settings of a trial: all but its
    seed, where it runs, and the trained runs that it is made of.

    Args:
        values: those of the trial, by their dotted names.
    """
    config = search.config(values)
    before = tuned_layers(search.model, search.dataset)  # which this file replaces
    settings = deep_merge(merged(before), _of_the_model(config))
    if "tune" in settings:  # in one file, what the trial's layers said one after the other
        below = property_layers(resolve(search.model), search.dataset, Path(config["data_path"]), [])
        grids = tuning_grid([layer for layer in below if layer not in before]) or {}
        tried = config["tune"] or {}
        left_out = dict.fromkeys(key for key in grids if key not in tried and key not in settings)
        settings["tune"] = {**left_out, **tried} or None
    return settings


def _of_the_model(config: Config) -> dict[str, Any]:
    """The settings that a search and its trial gave, but for those that say only where and how a run goes, and those
    that this model does not have."""
    given, known = dict(config.external_config_dict), config.final_config_dict.keys() - {"model", "dataset"}
    if given.pop("eval_args", None) is not None:
        given["split"] = config["split"]  # all else in there says what is so anyway
    kept = (given.keys() & known) - (ENVIRONMENT - {"preset"}) - sources(given).keys()
    return {key: value for key, value in given.items() if key in kept}


def _inline(settings: dict) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items()) or "nothing"
