"""Result records, and the tables drawn from them."""

import copy
import json
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

import pytest
import torch

from recbole_specgr.errors import UserError
from recbole_specgr.leaderboard.collect import write_record
from recbole_specgr.leaderboard.record import protocol_hash, read_record
from recbole_specgr.leaderboard.report import three_part_table
from recbole_specgr.leaderboard.table import find_records, leaderboard

ROOT = Path(__file__).resolve().parent.parent


def record(model="TIGER", seed=1, recall=0.2, unseen=0.1, finished="2026-01-01T00:00:00+0000", **protocol):
    """A record with the least that is required."""
    protocol = {"fingerprint": "f", "metrics": ["ndcg", "recall"], "topk": [10, 50], **protocol}
    test = {"in_sample_count": 75, "unseen_count": 25}
    for metric, scale in (("recall", 1.0), ("ndcg", 0.5)):
        for k, share in ((10, 0.5), (50, 1.0)):
            test[f"{metric}@{k}"] = recall * scale * share
            test[f"in_sample_{metric}@{k}"] = (4 * recall - unseen) / 3 * scale * share
            test[f"unseen_{metric}@{k}"] = unseen * scale * share
    return {
        "schema": 1,
        "model": model,
        "dataset": "tiny",
        "seed": seed,
        "finished": finished,
        "protocol": protocol,
        "protocol_hash": protocol_hash(protocol),
        "metrics": {"valid": {}, "test": test},
        "test": {"users_per_second": 1234.5},
    }


def cells(table: str) -> dict[str, list[str]]:
    """model -> the cells of its row, of a markdown table."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]
    return {row[0]: row[1:] for row in rows[2:]}


def save(folder: Path, content, run="1", model="TIGER"):
    path = folder / "tiny" / model / run / "result.json"
    path.parent.mkdir(parents=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_record_comes_back(tmp_path):
    write_record(tmp_path / "result.json", record())
    assert read_record(tmp_path / "result.json") == record()
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_record_that_is_not_json_is_not_written(tmp_path):
    with pytest.raises(ValueError):
        write_record(tmp_path / "result.json", {**record(), "seed": float("nan")})
    with pytest.raises(TypeError):
        write_record(tmp_path / "result.json", {**record(), "seed": torch.ones(1)})
    assert not list(tmp_path.iterdir())


def change(path, value):
    """A record with another value at a dotted path; None deletes it."""
    changed = copy.deepcopy(record())
    *groups, last = path.split("/")
    group = changed
    for name in groups:
        group = group[name]
    if value is None:
        del group[last]
    else:
        group[last] = value
    return changed


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"model": "TIG', "can't be read as JSON"),
        ("[1, 2]", "it holds a list"),
        (change("model", None), r"\[model\] is missing"),
        (change("seed", "one"), r"\[seed\] is 'one'"),
        (change("seed", True), r"\[seed\] is True"),
        (change("metrics", {"valid": {}}), r"\[metrics.test\] is missing"),
        (change("metrics/test/recall@50", "high"), "recall@50"),
        (change("metrics/test/ndcg@10", None), "ndcg@10"),
        (change("metrics/test/unseen_count", None), "unseen_count"),
        (json.dumps(change("metrics/test/recall@50", float("nan"))), "not a number"),
        (change("protocol/fingerprint", "another"), "protocol_hash"),
        (change("schema", 2), "schema is 2"),
        (change("test", {}), r"\[test.users_per_second\] is missing"),
    ],
)
def test_a_malformed_record_is_refused_with_the_reason(content, reason, tmp_path):
    path = save(tmp_path, content)
    with pytest.raises(UserError, match=reason) as error:
        find_records(tmp_path, "tiny")
    assert str(path) in str(error.value)


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert protocol_hash({"a": 1, "b": [2, 3]}) == protocol_hash({"b": [2, 3], "a": 1}) != protocol_hash({"a": 1})


def test_a_row_a_model_with_mean_and_deviation_over_seeds():
    runs = [
        record(seed=1, recall=0.2),
        record(seed=2, recall=0.26),
        record(seed=3, recall=0.22),
        record("SpecGRPP", 1, 0.4),
    ]
    rows = cells(leaderboard(runs, "markdown"))
    assert list(rows) == ["SpecGRPP", "TIGER"]  # best overall first
    values = [0.2, 0.26, 0.22]
    assert rows["TIGER"][:2] == ["3", f"{mean(values):.4f} ± {stdev(values):.4f}"]
    assert rows["TIGER"][2] == f"{mean(values) / 2:.4f} ± {stdev(values) / 2:.4f}"
    assert rows["SpecGRPP"] == ["1", "0.4000", "0.2000", "0.5000", "0.2500", "0.1000", "0.0500", "1,234"]


def test_the_latest_run_of_a_model_and_seed_counts():
    old, new = record(recall=0.3), record(recall=0.2, finished="2026-01-02T00:00:00+0000")
    for runs in ([old, new], [new, old]):
        assert cells(leaderboard(runs, "markdown"))["TIGER"][:2] == ["1", "0.2000"]


def test_a_table_shows_display_names_and_groups_where_there_are_any():
    named = {**record("SpecGRPP", recall=0.3), "display_name": "SpecGR++", "group": "ours"}
    table = leaderboard([named, record("Mine")], "markdown")
    assert list(cells(table)) == ["SpecGR++", "Mine"]
    assert [row[-1] for row in cells(table).values()] == ["ours", ""]
    assert "group" not in leaderboard([record("Mine")], "markdown")


def test_protocols_do_not_share_a_table():
    one, two = record(), record("SpecGRPP", fingerprint="other")
    tables = leaderboard([one, two], "markdown")
    assert tables.count("| model") == 2
    for part in (one, two):
        (block,) = (block for block in tables.split("tiny, protocol ") if block.startswith(part["protocol_hash"]))
        assert list(cells(block)) == [part["model"]]


def test_a_part_without_targets_is_a_dash():
    nothing = record()
    nothing["metrics"]["test"] = {
        key: value for key, value in nothing["metrics"]["test"].items() if not key.startswith("unseen_r")
    }
    assert cells(leaderboard([nothing], "markdown"))["TIGER"][5:7] == ["-", "0.0500"]
    table = three_part_table(
        {"recall@5": 0.5, "in_sample_recall@5": 0.5, "in_sample_count": 4, "unseen_count": 0}, ["Recall"], [5]
    )
    assert [line.split()[-2:] for line in table.splitlines()[2:]] == [["4", "0.5000"], ["4", "0.5000"], ["0", "-"]]


def test_the_script(tmp_path):
    save(tmp_path, record())
    command = [sys.executable, str(ROOT / "scripts" / "leaderboard.py"), f"--runs={tmp_path}", "--format=markdown"]
    shown, missing = (
        subprocess.run([*command, f"--dataset={name}"], capture_output=True, text=True, timeout=120)
        for name in ("tiny", "other")
    )
    assert shown.returncode == 0 and shown.stdout.strip() == leaderboard([record()], "markdown")
    assert missing.returncode == 2 and "no result of other" in missing.stderr
