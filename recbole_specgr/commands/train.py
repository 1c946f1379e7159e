"""`recbole-specgr train`: train a model, evaluate it, and write its record. `python run_recbole.py` is the same."""

import sys
from pathlib import Path

from recbole_specgr import __version__
from recbole_specgr.commands.usage import program
from recbole_specgr.settings.arguments import Arguments, parse

USAGE = """\
usage: {program} --model=NAME [--dataset=NAME] [--config_files FILE ...] [--KEY=VALUE ...]

Trains a model, evaluates it overall, on in-sample and on unseen items, and writes runs/<dataset>/<model>/<id>/.

  --model, -m NAME        what to train; --list-models shows the names
  --dataset, -d NAME      ml-100k when not given; `recbole-specgr import-data` makes others
  --config_files FILE...  YAML files of settings; a later file goes over an earlier one
  --KEY=VALUE             any setting, VALUE as in YAML: --epochs=20  '--topk=[10,50]'  --launch_holdout=None
                          a dot reaches into a group: --tokenizer.codebook_size=32
                          without a value it is True: --reproducibility

  --resume=RUN_DIR        go on with an interrupted run as if it had not been; `auto` is the newest unfinished one with
                          the same settings, or a new one where there is none
  --trained_run=RUN_DIR   take the parameters of a finished run of this model: nothing is trained, and settings of
                          inference and of evaluation may be others than its; those of training are its own
  --strict=False          a setting that the model does not have is a warning, for a file that several models share

  --list-models           the names --model takes
  --help, -h              this text; with --model, that model's settings too
  --version               the version
  --debug                 show the traceback of an error (or set RECBOLE_SPECGR_DEBUG=1)

`recbole-specgr --help` names the other commands: import-data, leaderboard, recommend, explain, ...

Settings, lowest to highest: properties/overall.yaml, dataset/<dataset>/<dataset>.yaml (what the importer found),
properties/dataset/<dataset>.yaml, properties/model/<model>.yaml, properties/tuned/<dataset>/<base>.yaml of a baseline
of another name than its base, baselines/<model>.yaml, properties/tuned/<dataset>/<model>.yaml, --config_files,
--KEY=VALUE. Folders `properties` and `baselines` of the working directory go over the package's own.

examples:
  {program} --model=SpecGRPP
  {program} --model=SASRec --epochs=5 --seed=1
  {program} --model=TIGER --dataset=my_data '--timestamp_split=[0.8,0.9]'
  torchrun --nproc_per_node=4 {torchrun} --model=SpecGRPP
"""


def run(words: list[str]) -> int:
    """Train and evaluate, or answer --help, --list-models and --version."""
    arguments = parse(words)
    if "version" in arguments.switches:
        print(__version__)
    elif "list_models" in arguments.switches:
        print(_models())
    elif "help" in arguments.switches:
        print(_help(arguments.model))
    else:
        _train(arguments)
    return 0


def _train(arguments: Arguments) -> None:
    from recbole_specgr.quick_start import run_recbole
    from recbole_specgr.settings.config import Settings

    settings = Settings(arguments.settings, "the command line")
    run_recbole(arguments.model, arguments.dataset, arguments.config_files, settings)


def _models() -> str:
    from recbole_specgr.settings.registry import list_models

    titles = {
        "baselines": "Baselines (baselines/*.yaml)",
        "recbole_specgr": "Models of this package",
        "recbole": "RecBole's sequential models",
    }
    lines = []
    for group, names in list_models().items():
        lines += [f"{titles[group]}:", f"  {', '.join(names) or '-'}"]
    return "\n".join(lines)


def _help(model: str | None) -> str:
    script = Path(sys.argv[0]).name == "run_recbole.py"
    text = USAGE.format(program=program("train"), torchrun="run_recbole.py" if script else "-m recbole_specgr")
    return text if model is None else f"{text}\n{_model_settings(model)}"


def _model_settings(model: str) -> str:
    """The settings of a model: defaults, types and meanings, file by file."""
    from recbole_specgr.settings.reference import introduction, settings_of, types_for
    from recbole_specgr.settings.registry import resolve
    from recbole_specgr.settings.resources import folders
    from recbole_specgr.settings.yaml_values import read_mapping

    entry, properties = resolve(model), folders("properties")[0]
    files = _files(entry.model_class, [entry.baseline_file] if entry.baseline_file else [])
    types = types_for(properties, [file.stem for file in files])
    lines = [f"Settings of {entry.name}, each with its default; {properties / 'overall.yaml'} has those of all models."]
    for file in files:
        lines += ["", str(file), *filter(None, [introduction(file)])]
        for setting in settings_of(entry.baseline if file == entry.baseline_file else read_mapping(file), types):
            says = [setting.meaning, f"({setting.values})" if setting.values else ""]
            lines += [f"  {setting.name}: {setting.default}", *filter(None, [f"      {' '.join(says)}".rstrip()])]
    return "\n".join(lines)


def _files(model_class: type, over: list[Path]) -> list[Path]:
    """The property files of a model and below them those of its backbone, lowest first; then those `over` them."""
    from recbole_specgr.settings.layer_files import property_files, recboles_file, settings_name
    from recbole_specgr.settings.registry import resolve
    from recbole_specgr.settings.yaml_values import read_mapping

    model = settings_name(model_class)
    files = [file for file in (recboles_file(model), *property_files(f"model/{model}")) if file.is_file()] + over
    backbone = next((name for file in reversed(files) if (name := read_mapping(file).get("backbone"))), None)
    return (_files(resolve(backbone).model_class, []) if backbone else []) + files
