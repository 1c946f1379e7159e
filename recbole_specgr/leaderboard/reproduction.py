"""The reproduction matrix, `leaderboards/<dataset>/rows.yaml`: each result's command, its scores, how near is near."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recbole_specgr.leaderboard.archive import Result
from recbole_specgr.leaderboard.summary import Board, Row
from recbole_specgr.leaderboard.table import shown_keys
from recbole_specgr.leaderboard.taken import records_used, sources_named
from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.comparison import ENVIRONMENT, EVALUATION, SOURCE, TRAINED_RUN
from recbole_specgr.runs.launch import training_command, training_words
from recbole_specgr.settings.arguments import Arguments, parse
from recbole_specgr.settings.following import following
from recbole_specgr.settings.layer_files import (
    backbone_layers,
    layer_of,
    layer_of_file,
    merged,
    model_layers,
    overall_settings,
    property_files,
    recboles_file,
    settings_name,
    tuning_grid,
)
from recbole_specgr.settings.precedence import deep_merge
from recbole_specgr.settings.presets import dotted, is_given, look_up, open_keys
from recbole_specgr.settings.registry import resolve
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.system.errors import UserError, did_you_mean

FILE = "rows.yaml"
EXACT = 0.0001  # tolerance of what involves no training, its own or that of the runs that it takes parameters from
TRAINED = 0.002  # least tolerance of what does: another processor's rounding leads to another model
# They change nothing in a record's settings, but the command does not make the same run without them: `preset` decides
# what settings follow from the data, `strict` whether one that nothing reads is an error.
KEPT = {"seed", "preset", "strict"}
# What a run is called, and columns of the data, which the file beside the data names.
NAMES = {"model", "base", "base_model", "display_name", "group", "selected_features", "item_attribute"}
# The settings of training that all models share.
TRAINING = {
    *("epochs", "train_on", "train_batch_size", "learning_rate", "weight_decay", "schedule", "warmup_steps"),
    *("clip_grad_norm", "eval_step", "stopping_step", "precision", "train_neg_sample_args", "tokenizer"),
}
HEAD = "# Rendered from the records by scripts/leaderboard.py --all; scripts/reproduce.py runs a row again.\n"


@dataclass(frozen=True)
class Comparison:
    """One score that was made again."""

    name: str
    found: float | None
    expected: float
    tolerance: float

    @property
    def ok(self) -> bool:
        return self.found is not None and abs(self.found - self.expected) <= self.tolerance

    def __str__(self) -> str:
        found = "missing" if self.found is None else f"{self.found:.4f}"
        mark = "[OK]  " if self.ok else "[FAIL]"
        return f"{mark} {self.name}: {found}, expected {self.expected:.4f} ± {self.tolerance:.4f}"


def command_of(record: dict[str, Any], made: Collection[str] = ()) -> str:
    """What makes the result again anywhere: without paths of this machine, and with what the property files said when
    it was made, where they say something else today. What was taken from runs is trained by its own settings, or comes
    from the rows that the matrix names.

    Args:
        made: the settings that name a run which another row makes.
    """
    words = training_words(record["command"])
    if words is None:
        return record["command"]
    given = parse(words)
    settings = {
        key: value
        for key, value in given.settings.items()
        if key in KEPT or not (key in ENVIRONMENT or key.endswith(SOURCE) or key == "resume")
    }
    named = {"model": given.model or record["model"], "dataset": given.dataset or record["dataset"]}
    settings |= _changed_since(record, given, made)
    words = [f"--{key}={_word(value)}" for key, value in {**named, **settings}.items()]
    files = ["--config_files", *given.config_files] if given.config_files else []
    return training_command([*words, *files], record["command"])


def _changed_since(record: dict[str, Any], given: Arguments, made: Collection[str]) -> dict[str, Any]:
    """What the run had of the settings of model, training and evaluation, by dotted names, that the property files
    give otherwise today, and that its command does not give. Nothing of a model that is gone.

    What the importer wrote beside the data is not looked at, for boards are drawn without the data; neither are the
    files of the models that a composite one trains for itself, but for its backbone's.
    """
    dataset = record["dataset"]
    try:
        entry = resolve(record["model"])
        of_model = model_layers(entry, dataset)
        below = [] if "backbone_run" in made else backbone_layers(of_model, [], dataset, (entry.name,))
    except UserError:
        return {}
    recboles, of_data = recboles_file(settings_name(entry.model_class)), property_files(f"dataset/{dataset}")
    of_models = [*(layer_of_file(file) for file in (recboles,) if file.is_file()), *below, *of_model]
    shared = [layer_of(overall_settings(), "overall.yaml"), *map(layer_of_file, of_data)]
    now = merged([*shared, *of_models])
    now |= {"tune": tuning_grid([*shared, *below, *of_model]), "stages": now["stages"] or {}}
    by_command = {*dotted(given.settings), *(f"tune.{key}" for key in given.settings)}
    preset = given.settings.get("preset", now["preset"])
    own = [name for layer in (*shared[1:], *of_models) if not layer.usual for name in dotted(layer.values)]
    now |= following(deep_merge(now, layer_of(given.settings, "the command").values), [*by_command, *own])
    open_to_it, tuned = open_keys(preset, now, [*by_command, *own]), record["settings"].get("tune") or {}
    compared = {*EVALUATION} if TRAINED_RUN in made else {*EVALUATION, *merged(of_models)}
    compared = (compared if made else compared | TRAINING) & now.keys() - NAMES - tuned.keys()
    had = {key: value for key, value in record["settings"].items() if key in compared}
    exist = {*dotted(now), *(f"tune.{key}" for key in tuned), "tune"}  # the others went with an older version
    return {
        name: look_up(had, name)
        for name in dotted(had)
        if name in exist
        and look_up(now, name) != look_up(had, name)
        and not (is_given(name, by_command) or is_given(name, open_to_it))
    }


def rows_yaml(boards: list[Board]) -> str:
    """The matrix, a function of the records and of today's property files. A row of the first board is MODEL-seedN; one
    of another board also has the protocol's hash in its name."""
    rows: dict[str, dict[str, Any]] = {}
    for board in boards:
        of_board = "" if board is boards[0] else f"@{board.record['protocol_hash']}"
        rows |= _rows_of(board, of_board)
    return HEAD + yaml.safe_dump(rows, sort_keys=False, width=200, allow_unicode=True)


def _rows_of(board: Board, of_board: str) -> dict[str, dict[str, Any]]:
    """A board's rows of the matrix.

    Args:
        of_board: what their names end with.
    """

    def name(result: Result) -> str:
        return f"{result.record['model']}-seed{result.record['seed']}{of_board}"

    results = [result for row in board.rows for result in row.results]
    name_of = {result.record["digest"]: name(result) for result in results}

    def uses(record: dict[str, Any]) -> dict[str, str]:
        """The setting that named a run -> the row that it is of; nothing of a run that is not on the board."""
        used = records_used(record, [result.record for result in results])
        return {key: name_of[other["digest"]] for key, other in used.items()}

    return {
        name(result): {
            "command": command_of(result.record, used := uses(result.record)),
            **({"uses": used} if used else {}),
            **({"older": older} if (older := older_rule(result.record)) else {}),
            "protocol": result.record["protocol_hash"],
            "expected": {
                key: {"score": result.record["metrics"]["test"][key], "tolerance": _tolerance(row, key)}
                for key in (f"{part}{metric}@{k}" for part, metric, k in shown_keys(board))
                if key in result.record["metrics"]["test"]
            },
        }
        for row in board.rows
        for result in row.results
    }


def older_rule(record: dict[str, Any]) -> str:
    """Why this version can't make the result again; "" where it can."""
    protocol = record["protocol"]
    if protocol.get("repeatable", True) or "left_out" in protocol:
        return ""
    return (
        f"its lists leave out the last {protocol['max_item_list_length']} items that a user had; those of this version "
        f"leave out all. It was made at commit {record.get('git_commit') or 'unknown'}."
    )


def read_rows(leaderboards: Path, dataset: str) -> dict[str, dict[str, Any]]:
    """Row -> command, the rows that it uses, what of it is an older rule, protocol, expected. Raises UserError where
    there is no matrix."""
    path = leaderboards / dataset / FILE
    if not path.is_file():
        raise UserError(f"There is no {path}: render it with `recbole-specgr leaderboard --all`.")
    return read_mapping(path)


def find_row(rows: dict[str, dict[str, Any]], name: str) -> str:
    """A row by its name, or the first of a model's. Raises UserError for a name that is none."""
    found = [row for row in rows if row == name or row.rpartition("-seed")[0] == name]
    if not found:
        raise UserError(f"There is no row [{name}].{did_you_mean(name, rows)}")
    return found[0]


def compare(row: dict[str, Any], result: Path) -> list[Comparison]:
    """Hold the record of a new run against a row.

    Raises:
        UserError: the run was measured under another protocol, on other data perhaps.
    """
    record = read_record(result)
    if record["protocol_hash"] != row["protocol"]:
        raise UserError(
            f"the run's protocol is {record['protocol_hash']}, not {row['protocol']}: its data (fingerprint "
            f"{record['protocol'].get('fingerprint', '')[:12]}), split, filters or metrics differ"
        )
    test = record["metrics"]["test"]
    return [
        Comparison(key, test.get(key), expected["score"], expected["tolerance"])
        for key, expected in row["expected"].items()
    ]


def _tolerance(row: Row, key: str) -> float:
    trained = any(stage["rows"] for stage in row.record["training"].values()) or sources_named(row.record)
    return round(max(TRAINED, 2 * (row.values[key].deviation or 0)), 5) if trained else EXACT


def _word(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).strip().removesuffix("...").strip()
