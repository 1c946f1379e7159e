"""What baseline files and a leaderboard's about.yaml say beside the records: names, groups, the paper's numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole_specgr.settings.resources import folders
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.system.errors import UserError, did_you_mean

ABOUT = "about.yaml"


@dataclass(frozen=True)
class About:
    """What people write about a data set, in `leaderboards/<dataset>/about.yaml`; every key may be missing.

    Attributes:
        title: how the page calls it.
        description: a few sentences.
        source: where it is from, with its licence.
        get_it: the command that brings it here.
        paper: what the baseline files' `paper` tables call it.
        notes: what a reader of the results has to know, one sentence an entry.
    """

    title: str = ""
    description: str = ""
    source: str = ""
    get_it: str = ""
    paper: str = ""
    notes: tuple[str, ...] = ()


def read_about(leaderboards: Path, dataset: str) -> About:
    """Raises UserError for a key that there is not."""
    path = leaderboards / dataset / ABOUT
    given: dict[str, Any] = read_mapping(path) if path.is_file() else {}
    for key in given:
        if key not in About.__dataclass_fields__:
            raise UserError(f"{path}: there is no key [{key}].{did_you_mean(key, About.__dataclass_fields__)}")
    return About(**{**given, "title": given.get("title", dataset), "notes": tuple(given.get("notes") or ())})


def published_results(name: str) -> dict[str, dict[str, float]]:
    """model -> result key -> value, of the baseline files that have numbers on a data set of this name."""
    found = {}
    for folder in folders("baselines"):
        for path in sorted(folder.glob("*.yaml")):
            table = (read_mapping(path).get("paper") or {}).get(name)
            if table:
                found[path.stem] = table
    return found
