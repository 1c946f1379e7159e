"""The rows of the leaderboard, properties/table.yaml: which models are trained, and what they take from each other."""

from pathlib import Path
from typing import Any

from recbole_specgr.settings.resources import folders
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.studies.wanted import Wanted
from recbole_specgr.system.errors import UserError, did_you_mean

FILE = "table.yaml"


def table_rows(names: list[str] | None = None) -> dict[str, Wanted]:
    """Row -> the run that it is, in the order of the file; or the rows `names` only.

    A `table.yaml` in `properties/` of the working directory adds rows to the package's own, or replaces them.

    Raises:
        UserError: a row that uses one that is not there, or is written otherwise; a name that is none.
    """
    rows: dict[str, dict[str, Any]] = {}
    for folder in folders("properties"):
        path = folder / FILE
        rows |= _checked(read_mapping(path), path) if path.is_file() else {}
    built: dict[str, Wanted] = {}
    for name in names or rows:
        _build(name, rows, built, ())
    return {name: built[name] for name in names or rows}


def _checked(rows: dict[str, Any], path: Path) -> dict[str, Any]:
    for name, uses in rows.items():
        if uses is not None and not isinstance(uses, dict):
            raise UserError(
                f"{path}: the row [{name}] must be a model's name and the runs it uses, such as `{name}: {{}}` or "
                f"`{name}: {{backbone_run: TIGER}}`, but holds [{uses}]."
            )
    return rows


def _build(name: str, rows: dict[str, Any], built: dict[str, Wanted], above: tuple[str, ...]) -> Wanted:
    if name not in rows:
        where = f" (used by {above[-1]})" if above else ""
        raise UserError(f"{FILE} has no row [{name}]{where}.{did_you_mean(name, rows)}")
    if name in above:
        raise UserError(f"{FILE}: the rows {' -> '.join([*above, name])} use each other in a circle.")
    if name not in built:
        uses = {key: _build(other, rows, built, (*above, name)) for key, other in (rows[name] or {}).items()}
        built[name] = Wanted(name, uses=uses)
    return built[name]
