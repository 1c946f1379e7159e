"""What a search found: a table of all trials, and the best one's settings as a property file."""

import optuna
import yaml
from optuna.trial import TrialState
from tabulate import tabulate

from recbole_specgr.search.trials import Search, finished, minutes_of, time_is_up, without_effect
from recbole_specgr.settings.precedence import expand_dotted
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
    comments = [*lines, f"Best: trial {trial.number}, valid {metric} {trial.value:.5f}."]
    values = search.space.settings(trial.params)
    with atomic_write(search.folder / BEST) as temporary:
        text = "".join(f"# {line}\n" for line in comments) + yaml.safe_dump(
            expand_dotted(values, "the search"), sort_keys=False
        )
        temporary.write_text(text, encoding="utf-8")


def _inline(settings: dict) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items()) or "nothing"
