"""Settings in a user's file or words that this run can't have: refused, or left out where `strict` is False."""

from collections.abc import Collection
from dataclasses import replace

from recbole_specgr.settings.eval_args import with_split
from recbole_specgr.settings.precedence import Layer, unknown_setting
from recbole_specgr.system.errors import UserError

_TORCHRUN = "torchrun starts the processes: torchrun --nproc_per_node=4 -m recbole_specgr --model=NAME."
# Words of RecBole's own scripts -> what does the same here.
RECBOLE_WORDS = {
    "nproc": f"Here {_TORCHRUN}",
    "world_size": f"Here {_TORCHRUN} With --nnodes=N it starts them on N machines.",
    "group_offset": f"Here {_TORCHRUN} On each of N machines it takes --nnodes=N --node_rank=0, 1, ...",
    "ip": f"Here {_TORCHRUN} For several machines it takes --master_addr=HOST.",
    "port": f"Here {_TORCHRUN} For several machines it takes --master_port=PORT.",
    "checkpoint_dir": "Checkpoints lie in the run's folder: --run_dir=FOLDER names it, --runs_path=FOLDER that of all.",
    "output_file": "A training writes result.json into its run's folder; `recbole-specgr search` has --output_file.",
    "display_file": "A search writes its summary.md without it.",
    "tool": "A search always uses optuna.",
}


def without_foreign(layers: list[Layer], known: Collection[str], strict: bool) -> tuple[list[Layer], list[str]]:
    """The layers of a user without the settings that this run can't have, and a sentence on each that was left out.

    Args:
        known: names of all settings that the run can have.
        strict: raise the first sentence as UserError instead.
    """
    kept: list[Layer] = []
    sentences: list[str] = []
    for layer in layers:
        foreign = _foreign(layer, known)
        if foreign and strict:
            raise UserError(next(iter(foreign.values())))
        ours = replace(layer, values={key: layer.values[key] for key in layer.values if key not in foreign})
        kept.append(with_split(ours))
        sentences += map(left_out, foreign.values())
    return kept, sentences


def left_out(sentence: str) -> str:
    """What is said of a setting that `strict: False` leaves out, after the sentence that says why."""
    return f"{sentence} It is left out (strict: False)."


def _foreign(layer: Layer, known: Collection[str]) -> dict[str, str]:
    """Key -> why this run can't have it."""
    found = {}
    for key in layer.values:
        if key in RECBOLE_WORDS:
            found[key] = f"[{key}] from {layer.source} is not a setting here. {RECBOLE_WORDS[key]}"
        elif key not in known:
            found[key] = unknown_setting(key, known, layer.source)
    try:
        with_split(layer)
    except UserError as error:
        found["eval_args"] = str(error)
    return found
