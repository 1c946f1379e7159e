"""What opens below a row of the page: commands, settings, environment, training curves."""

from typing import Any

from recbole_specgr.leaderboard.plots.draw import to_svg
from recbole_specgr.leaderboard.plots.plot import Axis, Plot, Series
from recbole_specgr.leaderboard.reproduction import command_of
from recbole_specgr.leaderboard.summary import Row
from recbole_specgr.leaderboard.table import device, duration


def model_details(row: Row) -> dict[str, Any]:
    """What opens below a row."""
    record = row.record
    model = {
        "settings": {key: value for key, value in record["settings"].items() if value is not None},
        "runs": [{"command": command_of(result.record), "facts": _run_facts(result.record)} for result in row.results],
        "environment": {
            **(record.get("hardware") or {}),
            "processes": record.get("processes", 1),
            **(record.get("versions") or {}),
            "commit": record.get("git_commit"),
            "peak memory, MB": record.get("peak_memory_mb"),
        },
    }
    tuning = record.get("tuning")
    if tuning:
        model["tuning"] = {"by": tuning["metric"], "tried": tuning["grid"], "chosen": tuning["choice"]}
    curves = _curves(row)
    return {**model, "curves": curves} if curves else model


def _run_facts(record: dict[str, Any]) -> dict[str, Any]:
    stages = {
        f"stage {name}": f"{stage['epochs']} epochs, best {stage['best_epoch']}, {duration(stage['seconds'])}"
        for name, stage in record["training"].items()
    }
    return {
        "seed": record["seed"],
        "finished": record["finished"],
        "device": device(record),
        **stages,
        "digest": record["digest"][:16],
    }


def _curves(row: Row) -> str:
    """Loss and the validation metric by epoch, of all seeds; stages follow each other. "" where there is neither."""
    metric = str(row.record["settings"].get("valid_metric", "NDCG@50")).lower()
    lines = []
    for result in row.results:
        epochs: list[tuple[int, dict[str, Any]]] = []
        for stage in result.record["training"].values():
            start = len(epochs)
            epochs += [(start + number, entry) for number, entry in enumerate(stage.get("history") or [], 1)]
        for key, right in ((metric, False), ("loss", True)):
            points = [(epoch, entry[key]) for epoch, entry in epochs if entry.get(key) is not None]
            if points:
                name = f"{'loss' if right else 'valid'}, seed {result.record['seed']}"
                lines.append(Series(name, [x for x, _ in points], [y for _, y in points], right=right))
    if not lines:
        return ""
    losses = Axis("loss") if any(line.right for line in lines) else None
    return inline_plot(Plot(f"Training of {row.name}", lines, Axis("epoch"), Axis(f"valid {metric}"), losses))


def inline_plot(plot: Plot) -> str:
    """A plot for the script's data, where quotation marks would be escaped; no text in it has any."""
    return to_svg(plot).replace('"', "'")
