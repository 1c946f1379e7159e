"""The command line: `python run_recbole.py`, under torchrun, and the console script `recbole-specgr`."""

import importlib
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from recbole_specgr import __version__
from recbole_specgr.settings.arguments import Arguments, parse
from recbole_specgr.system.allocator import keep_freed_memory
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.interruption import Terminated

USAGE = """\
usage: {program} --model=NAME [--dataset=NAME] [--config_files FILE ...] [--KEY=VALUE ...]

Trains a model, evaluates it overall, on in-sample and on unseen items, and writes runs/<dataset>/<model>/<id>/.

  --model, -m NAME        what to train; --list-models shows the names
  --dataset, -d NAME      ml-100k when not given; import others with scripts/import_dataset.py
  --config_files FILE...  YAML files of settings; a later file goes over an earlier one
  --KEY=VALUE             any setting, VALUE as in YAML: --epochs=20  --topk=[10,50]  --launch_holdout=None
                          a dot reaches into a group: --tokenizer.codebook_size=32
                          without a value it is True: --reproducibility

  --resume=RUN_DIR        go on with an interrupted run as if it had not been; `auto` is the newest unfinished one with
                          the same settings, or a new one where there is none

  --list-models           the names --model takes
  --help, -h              this text; with --model, that model's settings too
  --version               the version
  --debug                 show the traceback of an error (or set RECBOLE_SPECGR_DEBUG=1)

A finished run in use (each with --help): recommend, add-items, remove-items, show, export, import

  {program} recommend RUN --histories FILE [--k 20] [--candidates FILE] [--out FILE]
  {program} add-items RUN --items FILE
  {program} show RUN --user USER

Settings, lowest to highest: properties/overall.yaml, dataset/<dataset>/<dataset>.yaml (what the importer found),
properties/dataset/<dataset>.yaml, properties/model/<model>.yaml, properties/tuned/<dataset>/<model>.yaml,
baselines/<model>.yaml, --config_files, --KEY=VALUE. Folders `properties` and `baselines` of the working directory go
over the package's own.

examples:
  {program} --model=SpecGRPP
  {program} --model=SASRec --epochs=5 --seed=1
  {program} --model=TIGER --dataset=my_data --timestamp_split=[0.8,0.9]
"""
MULTI_GPU = """  torchrun --nproc_per_node=4 run_recbole.py --model=SpecGRPP
"""

COMMANDS = ("recommend", "add-items", "remove-items", "show", "export", "import")  # of recbole_specgr.serving


def main(argv: list[str] | None = None, run: Callable[[Arguments], int] | None = None) -> int:
    """Run one command line and return the process's exit status: 0, 2 for a user's mistake, 130 after Ctrl-C, 143 after
    SIGTERM.

    Args:
        argv: the words after the program's name.
        run: does what the words ask for; None trains and evaluates a model.
    """
    argv = sys.argv[1:] if argv is None else argv
    keep_freed_memory()
    debug = "--debug" in argv or os.environ.get("RECBOLE_SPECGR_DEBUG", "0") not in ("", "0")
    try:
        if run is None and argv and argv[0] in COMMANDS:
            from recbole_specgr.commands.serving import run_command

            return run_command(argv)
        return (run or _run)(parse(argv))
    except KeyboardInterrupt:
        return 130
    except Terminated as error:
        return error.code
    except (ValueError, OSError) as error:
        if not _is_ours(error):
            raise
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        if not isinstance(error, UserError) and not debug:
            print("(--debug shows where)", file=sys.stderr)
        return 2


def _run(arguments: Arguments) -> int:
    if "version" in arguments.switches:
        print(__version__)
    elif "list_models" in arguments.switches:
        print(_models())
    elif "help" in arguments.switches:
        print(_help(arguments.model))
    else:
        from recbole_specgr.quick_start import run_recbole
        from recbole_specgr.settings.config import Settings

        run_recbole(
            arguments.model,
            arguments.dataset,
            arguments.config_files,
            Settings(arguments.settings, "the command line"),
        )
    return 0


def _is_ours(error: Exception) -> bool:
    """The error is about what the user gave: raised by this package itself and not from the depth of a library."""
    if isinstance(error, UserError):
        return True
    file = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(file).is_relative_to(Path(__file__).resolve().parents[1])


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
    program = Path(sys.argv[0]).name
    script = program.endswith(".py")
    text = USAGE.format(program=f"python {program}" if script else program)
    text += MULTI_GPU if script else ""
    if model is None:
        return text
    return f"{text}\n{_model_settings(model)}"


def _model_settings(model: str) -> str:
    """The property files of a model, with their comments."""
    from recbole_specgr.settings.registry import resolve

    entry = resolve(model)
    files = _property_files(entry.model_class, [entry.baseline_file] if entry.baseline_file else [])
    blocks = [f"# {file}\n{file.read_text(encoding='utf-8').strip()}" for file in files]
    return f"Settings of {entry.name}:\n\n" + "\n\n".join(blocks)


def _property_files(model_class: type, over: list[Path]) -> list[Path]:
    """The property files of a model and below them those of its backbone, lowest first; then those `over` them."""
    from recbole_specgr.settings.registry import resolve
    from recbole_specgr.settings.resources import folders
    from recbole_specgr.settings.yaml_values import read_mapping

    recbole = Path(importlib.import_module("recbole").__file__).parent / "properties"
    files = [folder / "model" / f"{model_class.__name__}.yaml" for folder in (recbole, *folders("properties"))]
    files = [file for file in files if file.is_file()] + over
    backbone = next((name for file in reversed(files) if (name := read_mapping(file).get("backbone"))), None)
    return (_property_files(resolve(backbone).model_class, []) if backbone else []) + files
