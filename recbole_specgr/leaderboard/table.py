"""Boards -> the leaderboard's tables."""

from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from recbole_specgr.evaluation.known_metrics import metric_title, smaller_is_better
from recbole_specgr.leaderboard.grid import NOTHING, Cell, Column, Grid, number
from recbole_specgr.leaderboard.local import local_remarks, run_cells, run_columns
from recbole_specgr.leaderboard.summary import ALPHA, OURS, Board, Comparison, Row, Value, column_key
from recbole_specgr.runs.report import all_new_listed
from recbole_specgr.settings.published import Published
from recbole_specgr.settings.result_keys import PARTS, split_key

SIGNIFICANT = "†"  # behind a result that differs from the best baseline's
NOT_TRAINED_OUT = "‡"  # behind a model that more epochs might have made better


def leaderboard(
    boards: Iterable[Board],
    write: Callable[[Grid], str],
    published: Callable[[Board], Mapping[str, list[Published]]] = lambda board: {},
) -> str:
    """The results at the largest k, how sure they are, and what others have published at the largest k of theirs: for
    each protocol what was measured, then the tables.

    Args:
        write: a format, of `formats.FORMATS`.
        published: what was published under a board's protocol, by model.
    """
    parts = []
    for board in boards:
        tables = [results_table(board, board.topk[-1:]), confidence_table(board)]
        beside = published_table(board, published(board), largest_k=True)
        tables += [beside] if beside else []
        parts.append("\n\n".join([protocol_line(board), *map(write, tables), *remarks(board)]))
    return "\n\n\n".join(parts)


def protocol_line(board: Board) -> str:
    protocol, test = board.protocol, board.record["metrics"]["test"]
    split = f"split {board.split}, " if board.split else ""
    line = f"{board.record['dataset']}, {split}protocol {board.record['protocol_hash']}: "
    line += f"{test['in_sample_count']:,} in-sample and {test['unseen_count']:,} unseen targets"
    if holdout := protocol.get("launch_holdout"):
        line += f", launch_holdout {', '.join(f'{key} {value}' for key, value in holdout.items())}"
    if fewest := protocol.get("min_interactions"):
        line += f", at least {fewest['user']} interactions a user and {fewest['item']} an item"
    if not protocol.get("repeatable", True):
        line += ", lists without what users have had"
        if "left_out" not in protocol:
            line += f" (the last {protocol['max_item_list_length']} items)"
    return line


def remarks(board: Board) -> list[str]:
    """What a reader of the tables has to know beside them."""
    left_out = [
        f"{len(row.left_out)} of {row.name} (seed {', '.join(str(result.record['seed']) for result in row.left_out)})"
        for row in board.rows
        if row.left_out
    ]
    found = (
        [f"Left out, for their settings are not those of the latest run: {'; '.join(left_out)}."] if left_out else []
    )
    if mixed := [row.name for row in board.rows if row.mixes_precisions]:
        found.append(f"Seeds computed in fp32 and in bf16, as their machines are: {', '.join(mixed)}.")
    if any(row.improving for row in board.rows):
        found.append(
            f"{NOT_TRAINED_OUT}: not trained out. The limit of epochs ended its training, or that of a model that it "
            f"took parameters from, or the best validation was among the last that the limit allowed: more epochs "
            f"might help."
        )
    return found + _few_new_items(board) + local_remarks(board)


def _few_new_items(board: Board) -> list[str]:
    """A sentence where a list can hold all new items that the test phase ranks."""
    data, unseen = board.record["data"], board.record["metrics"]["test"]["unseen_count"]
    if not unseen or not {"candidates", "seen_items"} <= data.keys():  # version 0.1 did not keep them
        return []
    said = all_new_listed("test", data["candidates"] - data["seen_items"], board.topk)
    return [said] if said else []


def name_cell(row: Row) -> Cell:
    """The model's name, marked where it was not trained out."""
    return Cell(row.name, note=NOT_TRAINED_OUT if row.improving else "")


def results_table(board: Board, topk: list[int] | None = None) -> Grid:
    """Models by group, means over seeds: the shown metrics overall at every k (or those of `topk`), in-sample and
    unseen at the largest."""
    keys = shown_keys(board, topk)
    columns = [Column("model", align="left"), Column("seeds", leave_out=5), *run_columns(board)]
    columns += [
        Column(title(metric, k), PARTS[part].title, leave_out=0 if f"{metric}@{k}" == board.main_key else 3)
        for part, metric, k in keys
    ]
    columns += [Column("users/s", leave_out=2), Column("vs best baseline", leave_out=4)]
    rows = [
        [
            name_cell(row),
            Cell(str(len(row.results)), value=len(row.results)),
            *run_cells(board, row),
            *(result_cell(board, row, f"{part}{metric}@{k}") for part, metric, k in keys),
            number(row.median_of("test", "users_per_second"), "{:,.0f}"),
            change(board, row, board.main_key),
        ]
        for row in board.rows
    ]
    return Grid("Results", columns, rows, _groups(board), results_caption(board))


def confidence_table(board: Board) -> Grid:
    """The main metric with its 95 % intervals, and the comparison with the best baseline."""
    metric, k = board.main_metric, board.topk[-1]
    columns = [Column("model", align="left"), *run_columns(board)]
    columns += [Column("95 % interval", part.title) for part in PARTS.values()]
    columns += [Column("p", f"{part.title} vs best baseline", leave_out=2) for part in PARTS.values()]
    rows = [
        [
            Cell(row.name),
            *run_cells(board, row),
            *(_interval(row.values.get(f"{part}{metric}@{k}")) for part in PARTS),
            *(p_value_cell(row.comparisons.get(f"{part}{metric}@{k}")) for part in PARTS),
        ]
        for row in board.rows
    ]
    caption = (
        "Bootstrap over users, rows of a user together. p: paired randomisation test over users, Holm's correction."
    )
    return Grid(f"How sure {title(metric, k)} is", columns, rows, _groups(board), caption)


def cost_table(board: Board) -> Grid:
    """Parameters, training time, and the speed of recommending."""
    columns = [Column("model", align="left")]
    columns += [Column(name, "parameters") for name in ("trained", "of them embedding", "frozen")]
    columns += [Column("training"), Column("users/s"), Column("batch")]
    columns += [Column(name, "ms a batch") for name in ("p50", "p95")]
    columns += [Column("memory, MB"), Column("device", align="left")]
    rows = [
        [
            Cell(row.name),
            *(number(row.median_of("parameters", key), "{:,.0f}") for key in ("trainable", "embedding", "frozen")),
            Cell(duration(row.training_seconds), value=row.training_seconds),
            number(row.median_of("test", "users_per_second"), "{:,.0f}"),
            number(row.median_of("test", "batch_size"), "{:.0f}"),
            number(row.median_of("test", "batch_ms_p50"), "{:,.1f}"),
            number(row.median_of("test", "batch_ms_p95"), "{:,.1f}"),
            number(row.median_of("peak_memory_mb", "host"), "{:,.0f}"),
            Cell("; ".join(dict.fromkeys(device(result.record) for result in row.results))),
        ]
        for row in board.rows
    ]
    caption = (
        "Training without validation, of this run alone: what it took over from other runs is counted there. "
        "users/s and ms a batch: ranking all candidates for the test rows. Medians over seeds, "
        "whatever machine each was on."
    )
    return Grid("Cost", columns, rows, _groups(board), caption)


def published_table(board: Board, published: Mapping[str, list[Published]], largest_k: bool = False) -> Grid | None:
    """Our results beside those that others have published, a row a source, with our difference in per cent; None where
    there are none.

    Args:
        published: model -> what was published under this board's protocol.
        largest_k: only the largest k of which something was published.
    """
    pairs = [(row, entry) for row in board.rows for entry in published.get(row.model, ())]
    keys = [key for key in shown_keys(board) if any(column_key(key) in entry.results for _, entry in pairs)]
    if not keys:
        return None
    if largest_k:
        largest = max(k for *_, k in keys)
        keys = [key for key in keys if key[-1] == largest]
    columns = [Column("model", align="left"), Column("source", align="left")]
    columns += [
        Column(side, f"{PARTS[key[0]].title} {title(*key[1:])}") for key in keys for side in ("here", "published", "%")
    ]
    cells = [
        [
            Cell(row.name),
            Cell(entry.source),
            *(cell for key in map(column_key, keys) for cell in _beside(row.values.get(key), entry.results.get(key))),
        ]
        for row, entry in pairs
    ]
    caption = (
        "%: how much more or less is found here. What else differs, such as sizes and text vectors, is in the sources."
    )
    return Grid("Beside published results", columns, cells, [row.group for row, _ in pairs], caption)


def _beside(ours: Value | None, theirs: float | None) -> list[Cell]:
    """Our result, the published one, and the difference in per cent."""
    change = 100 * (ours.mean / theirs - 1) if ours is not None and theirs else None
    return [
        number(ours.mean if ours is not None else None, "{:.4f}"),
        number(theirs, "{:.4f}"),
        number(change, "{:+.1f}"),
    ]


def metrics_by_model(board: Board) -> Grid:
    """As Table 1 of the paper: a row a metric over all rows, a column a model, and the improvement."""
    columns = [Column("Metric", align="left")]
    columns += [Column(row.name, row.group) for row in board.rows] + [Column("Improv.")]
    rows = []
    for k in board.topk:
        for metric in board.metrics:
            key = f"{metric}@{k}"
            cells = [result_cell(board, row, key, spread=False) for row in board.rows]
            rows.append([Cell(title(metric, k)), *cells, _improvement(board, key)])
    return Grid(f"Results on {board.record['dataset']}", columns, rows, caption=results_caption(board, spread=False))


def models_by_part(board: Board) -> Grid:
    """As Table 2 of the paper: overall, in-sample and unseen at the largest k, with the number of parameters."""
    test, k = board.record["metrics"]["test"], board.topk[-1]
    total = test["in_sample_count"] + test["unseen_count"]
    share = {part: f" ({100 * test[f'{part}count'] / total:.1f} %)" if part else "" for part in PARTS}
    columns = [Column("Model", align="left"), Column("#Params. (M)")]
    columns += [
        Column(title(metric, k), PARTS[part].title.capitalize() + share[part])
        for part in PARTS
        for metric in board.metrics
    ]
    rows = [
        [
            Cell(row.name),
            number((row.median_of("parameters", "trainable") or 0) / 1e6, "{:.2f}"),
            *(
                result_cell(board, row, f"{part}{metric}@{k}", spread=False)
                for part in PARTS
                for metric in board.metrics
            ),
        ]
        for row in board.rows
    ]
    name = f"Results on {board.record['dataset']} by whether the target was seen in training"
    return Grid(name, columns, rows, _groups(board), results_caption(board, spread=False))


def every_number(board: Board) -> Grid:
    """One line a model with all there is, under the keys of the records."""
    keys = sorted({key for row in board.rows for key in row.values if not key.endswith("_count")})
    costs = [("parameters", "trainable"), ("parameters", "embedding"), ("parameters", "frozen")]
    costs += [
        ("test", "users_per_second"),
        ("test", "batch_ms_p50"),
        ("test", "batch_ms_p95"),
        ("peak_memory_mb", "host"),
    ]
    columns = [Column("model", align="left"), Column("name", align="left"), Column("seeds")]
    columns += [Column(f"{key}{side}") for key in keys for side in SIDES]
    columns += [Column("training_seconds"), *(Column(".".join(path)) for path in costs)]
    rows = []
    for row in board.rows:
        values = [number for key in keys for number in _sides(row.values.get(key))]
        values += [row.training_seconds, *(row.median_of(*path) for path in costs)]
        rows.append([Cell(row.model), Cell(row.name), Cell(str(len(row.results))), *(number(v, "{}") for v in values)])
    return Grid("", columns, rows, _groups(board))


SIDES = ("", " sd", " low", " high")  # endings of the columns of a key


def _sides(value: Value | None) -> tuple[float | None, ...]:
    """The numbers of these columns."""
    if value is None:
        return (None,) * len(SIDES)
    return (value.mean, value.deviation, *(value.interval or (None, None)))


def shown_keys(board: Board, topk: list[int] | None = None) -> list[tuple[str, str, int]]:
    """Part, metric and k of the results table's columns."""
    return [
        (part, metric, k)
        for part in PARTS
        for k in (board.topk[-1:] if part else topk or board.topk)
        for metric in board.metrics
    ]


def title(metric: str, k: int) -> str:
    """As it is set: Recall@10, NDCG@10."""
    return f"{metric_title(metric)}@{k}"


def duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes:.0f} min" if minutes < 120 else f"{hours:.1f} h"


def device(record: dict[str, Any]) -> str:
    """What a run was made on."""
    hardware = record.get("hardware") or {}
    if hardware.get("device", "cpu") != "cpu":
        return hardware["device"]
    return f"{hardware.get('cpu', 'CPU')}, {hardware.get('threads', '?')} threads"


def _groups(board: Board) -> list[str]:
    return [row.group for row in board.rows]


def result_cell(board: Board, row: Row, key: str, spread: bool = True) -> Cell:
    value = row.values.get(key)
    if value is None:
        return NOTHING
    short = text = f"{value.mean:.4f}"
    if spread and value.deviation is not None:
        text += f" ± {value.deviation:.4f}"
    comparison = row.comparisons.get(key)
    note = SIGNIFICANT if comparison and comparison.significant else ""
    return Cell(text, board.place(key, row), note, value.mean, short=short if text != short else "")


def change(board: Board, row: Row, key: str) -> Cell:
    """The distance of a row's value to the best baseline's, in per cent."""
    best = board.best_row(key)
    if best is None or row is best or not best.values[key].mean or key not in row.values:
        return NOTHING
    return number(100 * (row.values[key].mean / best.values[key].mean - 1), "{:+.1f} %")


def _improvement(board: Board, key: str) -> Cell:
    """The best model of the group `ours` against the best baseline."""
    compared = [row.comparisons[key] for row in board.rows if key in row.comparisons]
    changes = [(found.change, found) for found in compared if found.change is not None]
    if not changes:
        return NOTHING
    better = min if smaller_is_better(split_key(key)[1]) else max
    change, best = better(changes, key=itemgetter(0))
    return number(100 * change, "{:+.2f} %", note=SIGNIFICANT if best.significant else "")


def _interval(value: Value | None) -> Cell:
    if value is None or value.interval is None:
        return NOTHING
    low, high = value.interval
    return Cell(f"{low:.4f} to {high:.4f}", value=low, upper=high, short=f"{low:.3f}-{high:.3f}")


def p_value_cell(comparison: Comparison | None) -> Cell:
    if comparison is None:
        return NOTHING
    text = "< 0.001" if comparison.p_value < 0.001 else f"{comparison.p_value:.3f}"
    return Cell(text, value=comparison.p_value, note=SIGNIFICANT if comparison.significant else "")


def results_caption(board: Board, spread: bool = True) -> str:
    caption = []
    if any(len(row.results) > 1 for row in board.rows):
        caption.append("Mean ± standard deviation over seeds." if spread else "Means over seeds.")
    if any(row.comparisons for row in board.rows):
        published = any(row.local for row in board.rows) and not any(row.local for row in board.reference)
        best = "the best published row" if published else "the best"
        caption.append(f"Best baseline: {best} in its column that is not of the group {OURS}.")
        caption.append(
            f"{SIGNIFICANT}: differs from it (p < {ALPHA}, paired over users, corrected for all comparisons)."
        )
    return " ".join(caption)
