"""What baseline files and a leaderboard's about.yaml say beside the records: about the data set, published results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_specgr.leaderboard.summary import Board
from recbole_specgr.settings.layer_files import layer_of_file, merged, overall_settings, property_files
from recbole_specgr.settings.published import Published
from recbole_specgr.settings.registry import published_results
from recbole_specgr.settings.resources import folders
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.system.errors import UserError, did_you_mean

ABOUT = "about.yaml"
# Settings that decide which targets and candidates there are under any split, with what they are where no file of
# properties says it; the filters' values are RecBole's own.
OF_TARGETS = {
    "repeatable": True,
    "user_inter_num_interval": "[0,inf)",
    "item_inter_num_interval": "[0,inf)",
    "val_interval": None,
}


@dataclass(frozen=True)
class About:
    """What people write about a data set, in `leaderboards/<dataset>/about.yaml`; every key may be missing.

    Attributes:
        title: how the page calls it.
        description: a few sentences.
        source: where it is from, with its licence.
        get_it: the command that brings it here.
        paper: what the baseline files call it under `published`, where that is another name.
        notes: what a reader of the results has to know, one sentence an entry.
        compare: model -> models that it is held against in a table of pairs.
    """

    title: str = ""
    description: str = ""
    source: str = ""
    get_it: str = ""
    paper: str = ""
    notes: tuple[str, ...] = ()
    compare: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_about(leaderboards: Path, dataset: str) -> About:
    """Raises UserError for a key that there is not."""
    path = leaderboards / dataset / ABOUT
    given: dict[str, Any] = read_mapping(path) if path.is_file() else {}
    for key in given:
        if key not in About.__dataclass_fields__:
            raise UserError(f"{path}: there is no key [{key}].{did_you_mean(key, About.__dataclass_fields__)}")
    compare = given.get("compare") or {}
    if not isinstance(compare, dict) or not all(isinstance(others, list) for others in compare.values()):
        raise UserError(
            f"{path}: [compare: {compare}] must map models to lists of models, such as {{TIGER: [SASRec]}}."
        )
    written = {"title": given.get("title", dataset), "notes": tuple(given.get("notes") or ()), "compare": compare}
    return About(**{**given, **written})


def check_compared(about: About, boards: Sequence[Board], folder: Path) -> None:
    """Raise UserError where `compare` names a model that no board of the data set has."""
    known = {row.model for board in boards for row in board.reference}
    for model in (*about.compare, *(other for others in about.compare.values() for other in others)):
        if model not in known:
            raise UserError(
                f"{folder / ABOUT}: `compare` names [{model}], of which there is no result.{did_you_mean(model, known)}"
            )


def _as_usual(board: Board) -> bool:
    """Targets and candidates are those that the property files of the data set say. Settings that a record does not
    have are."""
    settings, dataset = board.record["settings"], board.record["dataset"]
    of_data = merged([layer_of_file(file) for file in property_files(f"dataset/{dataset}")])
    usual = OF_TARGETS | overall_settings() | of_data
    keys = [*OF_TARGETS] if board.split else [*OF_TARGETS, "timestamp_split"]
    return all(settings[key] == usual[key] for key in keys if key in settings)


def published_beside(board: Board, about: About) -> dict[str, list[Published]]:
    """model -> what was published of it on the data set and under the split of this board; nothing where
    `launch_holdout` made data of its own, or where the cuts, filters or repeats are not the data set's usual ones."""
    found: dict[str, list[Published]] = {}
    if board.protocol.get("launch_holdout") or not _as_usual(board):
        return found
    wanted = (about.paper or board.record["dataset"], board.split or "by_time")
    for folder in folders("baselines"):
        for path in sorted(folder.glob("*.yaml")):
            same = [
                entry
                for entry in published_results(read_mapping(path).get("published", {}), path)
                if (entry.dataset, entry.split) == wanted
            ]
            if same:
                found[path.stem] = same
    return found
