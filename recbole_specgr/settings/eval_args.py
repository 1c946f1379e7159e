"""RecBole's `eval_args`: the split that they name, and whether they ask for more than there is here."""

from dataclasses import replace
from typing import Any

from recbole_specgr.settings.precedence import Layer
from recbole_specgr.system.errors import UserError

LEAVE_ONE_OUT = {"LS": "valid_and_test"}
#: Every candidate is ranked, in RecBole's two ways to write it.
FULL = ("full", {"valid": "full", "test": "full"})


def with_split(layer: Layer) -> Layer:
    """The layer with `eval_args: {split: {LS: valid_and_test}}` as the setting `split`, which it is here.

    Raises:
        UserError: `eval_args` name another split, or the layer sets `split` to something else.
    """
    given = layer.values.get("eval_args")
    if layer.open_groups or not isinstance(given, dict) or "split" not in given:
        return layer
    if given["split"] != LEAVE_ONE_OUT:
        raise UserError(
            f"[eval_args.split: {given['split']}] from {layer.source} can't be. RecBole's {LEAVE_ONE_OUT} is "
            f"--split=leave_one_out; the split by time has its cuts in [timestamp_split], such as "
            f"--timestamp_split=[0.8,0.9]."
        )
    if layer.values.get("split", "leave_one_out") != "leave_one_out":
        raise UserError(
            f"{layer.source} gives [split: {layer.values['split']}] and [eval_args.split]: remove one of them."
        )
    others = {key: value for key, value in given.items() if key != "split"}
    return replace(layer, values={**layer.values, "eval_args": others, "split": "leave_one_out"})


def check_eval_args(layers: list[Layer], split_args: dict[str, Any]) -> None:
    """Raise UserError where `eval_args`, in the files or words of a user, ask for another order, grouping or mode.

    Args:
        split_args: how RecBole writes the split of this run.
    """
    for layer in layers:
        if layer.open_groups:
            continue
        for key, value in (layer.values.get("eval_args") or {}).items():
            if value not in (FULL if key == "mode" else (split_args.get(key),)):
                raise UserError(
                    f"[eval_args.{key}: {value}] from {layer.source} can't be set: [split] says how interactions are "
                    f"divided (by time with the cuts in [timestamp_split], or leave_one_out), and every candidate is "
                    f"ranked."
                )
