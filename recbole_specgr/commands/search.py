"""`recbole-specgr search`: search the best settings of a model. `python run_hyper.py` is the same."""

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from recbole_specgr.commands.usage import program
from recbole_specgr.settings.arguments import parse
from recbole_specgr.settings.resources import folders
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import atomic_write

USAGE = """\
usage: {program} --model=NAME [--params_file=FILE] [--dataset=NAME] [--KEY=VALUE ...]

Searches a model's settings for the best valid_metric on the valid phase.

  --params_file=FILE  what to try, in RecBole's format: a line `name type range` for each parameter
                        learning_rate loguniform -8,-4
                        dropout_prob uniform 0.0,0.5
                        hidden_size choice [64,128,256]
                      properties/search/<model>.hyper when not given
  --trials=20         how many to run in all; fewer when all combinations of choices are fewer
  --minutes=M         no trial begins once those that ended took so long together; no limit when not given
  --jobs=1            how many at a time, each in a process of its own
  --study=FOLDER      where the search is kept; runs/hyper/<dataset>/<model> when not given
  --output_file=FILE  where the summary is written too
  --KEY=VALUE         a setting that all trials share, as for recbole-specgr train

The same command goes on with an interrupted search, and with larger --trials or --minutes adds to a finished one. The
folder gets summary.md, best.yaml (for properties/tuned/<dataset>/<model>.yaml) and the trials' runs.

examples:
  {program} --model=SASRec --dataset=ml-100k --minutes=30
  {program} --model=SASRec --params_file=space.txt --trials=20 --jobs=2
"""


def run(words: list[str]) -> int:
    """0, or 1 where no trial ended with a result."""
    arguments = parse(words)
    if "help" in arguments.switches:
        print(USAGE.format(program=program("search")), end="")
        return 0
    if find_spec("optuna") is None:
        raise UserError("The search needs optuna: pip install '.[hyper]' in the checkout.")
    from recbole_specgr.search.report import write_report
    from recbole_specgr.search.space import read_space
    from recbole_specgr.search.trials import Search, finished, run_search
    from recbole_specgr.settings.config import Config, Settings

    settings = dict(arguments.settings)
    given = settings.pop("params_file", None)
    trials, jobs = _count("trials", settings.pop("trials", 20)), _count("jobs", settings.pop("jobs", 1))
    minutes = _minutes(settings.pop("minutes", None))
    folder, output = settings.pop("study", None), settings.pop("output_file", None)
    config = Config(arguments.model, arguments.dataset, arguments.config_files, Settings(settings, "the command line"))
    file = _parameters(given, config["model"])
    space = read_space(file)
    for name in space.distributions.keys() & settings.keys():
        raise UserError(f"[{name}] is fixed on the command line and searched in {file}.")
    default = Path(config["runs_path"], "hyper", config["dataset"], config["model"])
    search = Search(
        model=config["model"],
        dataset=config["dataset"],
        config_files=arguments.config_files,
        settings=settings,
        space=space,
        trials=trials,
        minutes=minutes,
        folder=Path(folder) if folder else default,
    )
    try:
        study = run_search(search, jobs)
    except KeyboardInterrupt:
        print(f"Interrupted. The same command goes on with {search.folder}.")
        raise
    report = write_report(search, study)
    print(report)
    if output:
        with atomic_write(Path(output)) as temporary:
            temporary.write_text(f"{report}\n", encoding="utf-8")
    return 0 if any(trial.value is not None for trial in finished(study)) else 1


def _parameters(given: Any, model: str) -> Path:
    """The parameter file: the given one, or the model's, that of the working directory before the package's own."""
    if isinstance(given, str):
        return Path(given)
    if given is not None:
        raise UserError(f"[--params_file] must be the name of a file, but is [{given}].")
    for folder in reversed(folders("properties")):
        if (file := folder / "search" / f"{model}.hyper").is_file():
            return file
    place = Path("properties", "search", f"{model}.hyper")
    raise UserError(f"There is no {place} that says what to try, so --params_file=FILE must; --help shows the format.")


def _minutes(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise UserError(f"[--minutes] must be a number above 0, but is [{value}].")
    return float(value)


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"[--{name}] must be a whole number from 1, but is [{value}].")
    return value
