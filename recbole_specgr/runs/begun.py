"""How a run was begun: with which command, and on which data. One that goes on must go on with the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from recbole_specgr.runs.launch import started_as
from recbole_specgr.runs.record import read_json, write_json
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.fingerprint import content_key

BEGUN = "begun.json"  # in a run's folder


def keep_begun(run_dir: Path, dataset: Any) -> None:
    """Write it down, for the first process of a new run.

    Args:
        dataset: any view.
    """
    write_json(run_dir / BEGUN, {"command": started_as(sys.argv), **data_marks(dataset)})


def check_same_data(run_dir: Path, dataset: Any) -> None:
    """Raise UserError where the data set is not that which the run was begun with."""
    if (why := why_begun_on_other_data(run_dir, data_marks(dataset))) is not None:
        raise UserError(
            f"[resume: {run_dir}] can't go on: the data set [{dataset.dataset_name}] is not as it was when the run was "
            f"begun; {why}. Bring its file back as it was, or begin a new run."
        )


def why_begun_on_other_data(run_dir: Path, now: dict[str, str]) -> str | None:
    """In what a data set, of which `now` are the `data_marks`, is not as it was when a run was begun; None where in
    nothing. Nothing is known of runs of earlier versions, which did not write it down."""
    if not (run_dir / BEGUN).is_file():
        return None
    before = read_json(run_dir / BEGUN)
    reasons = {"interactions": "it has other interactions", "numbers": "its users or items come in another order"}
    return next((reason for key, reason in reasons.items() if before.get(key) != now[key]), None)


def command_begun_with(run_dir: Path) -> str | None:
    """The command that the run was begun with, which has its settings, while that which goes on with it may name its
    folder alone; None where it was not written down."""
    return read_json(run_dir / BEGUN)["command"] if (run_dir / BEGUN).is_file() else None


def data_marks(dataset: Any) -> dict[str, str]:
    """The fingerprint of the interactions, by token; and of how users and items are numbered, which decides which
    parameters are whose."""
    tokens = (dataset.field2id_token[field] for field in (dataset.uid_field, dataset.iid_field))
    numbers = content_key(*([str(token) for token in of_field] for of_field in tokens))
    return {"interactions": dataset.fingerprint, "numbers": numbers}
