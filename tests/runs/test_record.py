"""Result records: what a run writes comes back, and what can't be trusted is refused with the reason."""

import json
import logging
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from leaderboard_records import make_ranks, make_record, make_result, save_run, saved

from recbole_specgr.leaderboard.archive import collect, find_runs, latest, read_archive, read_run, run_folders
from recbole_specgr.quick_start import run_recbole
from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.collecting import environment
from recbole_specgr.runs.record import digest, protocol_hash, ranks_digest, write_result
from recbole_specgr.runs.report import none_can_be_listed, three_part_table
from recbole_specgr.system.errors import UserError


def test_a_result_comes_back(tmp_path):
    ranks = make_ranks(0.4, 0.1, 1)
    written = write_result(tmp_path, make_record(ranks), ranks)
    result = read_run(tmp_path)
    assert result.record == written == read_record(tmp_path / "result.json")
    assert {key: value for key, value in written.items() if not key.endswith("digest")} == make_record(ranks)
    assert result.ranks.keys() == ranks.keys()
    for name, column in ranks.items():
        np.testing.assert_array_equal(result.ranks[name], column)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ranks.npz", "result.json"]


def test_a_record_that_is_not_json_is_not_written(tmp_path):
    ranks = make_ranks(0.4, 0.1, 1)
    for seed in (float("nan"), torch.ones(1)):
        with pytest.raises((ValueError, TypeError)):
            write_result(tmp_path, {**make_record(ranks), "seed": seed}, ranks)
    assert [path.name for path in tmp_path.iterdir()] == ["ranks.npz"]


def changed(path, value, sealed=True):
    """A record with another value at a path of keys; None deletes it. `sealed`: as if it had been written so."""
    record = json.loads(json.dumps(make_result(unseen_good=0.2).record))
    *groups, last = path.split("/")
    group = record
    for name in groups:
        group = group[name]
    if value is None:
        del group[last]
    else:
        group[last] = value
    return {**record, "digest": digest(record)} if sealed and path != "digest" else record


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"model": "TIG', "can't be read as JSON"),
        ("[1, 2]", "it holds a list"),
        (changed("model", None), r"\[model\] is missing"),
        (changed("protocol_hash", None), r"\[protocol_hash\] is missing"),
        (changed("seed", None), r"\[seed\] is missing"),
        (changed("seed", "one"), r"\[seed\] is 'one'"),
        (changed("seed", True), r"\[seed\] is True"),
        (changed("command", None), r"\[command\] is missing"),
        (changed("display_name", 5), r"\[display_name\] is 5, not a text"),
        (changed("display_name", ["a"]), r"\[display_name\] is \['a'\], not a text"),
        (changed("group", {"a": 1}), r"\[group\] is {'a': 1}, not a text"),
        (changed("command", " "), r"\[command\] is empty"),
        (changed("finished", "yesterday"), r"\[finished\] is 'yesterday', not a moment"),
        (changed("digest", None), r"\[digest\] is missing"),
        (changed("metrics", {"valid": {}}), r"\[metrics.test\] is missing"),
        (changed("metrics/test/recall@50", "high"), "recall@50"),
        (changed("metrics/test/ndcg@10", None), "ndcg@10"),
        (changed("metrics/test/unseen_count", None), "unseen_count"),
        (json.dumps(changed("metrics/test/recall@50", float("nan"), sealed=False)), "not a number"),
        (changed("protocol/fingerprint", "another"), "protocol_hash"),
        (changed("schema", 2), "schema is 2"),
        (changed("test", {}), r"\[test.users_per_second\] is missing"),
        (changed("metrics/test/recall@50", 0.9), "from its in-sample and unseen parts"),
        (changed("metrics/test/unseen_ndcg@50", 0.5), "from its in-sample and unseen parts"),
        (changed("metrics/test/unseen_ndcg@50", None), "has no subsets"),
        (changed("test/users_per_second", 9e9, sealed=False), "changed by hand"),
        (changed("seed", 5, sealed=False), "changed by hand"),
    ],
)
def test_a_malformed_record_is_refused_with_the_reason(content, reason, tmp_path):
    path = save_run(tmp_path, make_result()) / "result.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=reason) as error:
        list(map(read_run, run_folders(tmp_path, "tiny")))
    assert str(path) in str(error.value)


def test_runs_are_found_at_any_depth_and_their_parts_are_no_results(tmp_path):
    run = save_run(tmp_path, make_result())
    named = tmp_path / "tiny" / "named"
    shutil.copytree(run, named)
    shutil.copytree(run, named / "backbone")  # as a run that is taken as a part is copied
    assert run_folders(tmp_path, "tiny") == sorted([run, named])
    assert find_runs(named) == [named]
    assert find_runs(named / "backbone") == [named / "backbone"]


def test_ranks_that_contradict_the_record_are_refused(tmp_path):
    folder = save_run(tmp_path, make_result(unseen_good=0.2))
    good = dict(np.load(folder / "ranks.npz"))

    def refused(reason, **columns):
        np.savez(
            folder / "ranks.npz", **{key: value for key, value in {**good, **columns}.items() if value is not None}
        )
        with pytest.raises(UserError, match=reason) as error:
            read_run(folder)
        assert str(folder) in str(error.value)

    hit = np.flatnonzero(good["rank"] > 0)[0]
    refused("its ranks say", rank=np.where(np.arange(240) == hit, 0, good["rank"]))
    refused("its ranks say", unseen=~good["unseen"])
    refused("not those that it was written with", user=good["user"][::-1])
    refused(r"\[age_days\] of its ranks is missing", age_days=None)
    refused(r"\[rank\] of its ranks is missing or of a wrong kind", rank=good["rank"].astype(float))
    refused("differ in length", item=good["item"][:-1])
    (folder / "ranks.npz").write_bytes(b"PK nothing")
    with pytest.raises(UserError, match="can't be read as an npz archive"):
        read_run(folder)
    (folder / "ranks.npz").unlink()
    with pytest.raises(UserError, match="can't be read as an npz archive"):
        read_run(folder)


def test_metrics_and_their_parts_changed_together_are_refused(tmp_path):
    """All parts agree and the digest is new, but the ranks say something else."""
    folder = save_run(tmp_path, make_result(unseen_good=0.2))
    record = json.loads((folder / "result.json").read_text())
    for key in record["metrics"]["test"]:
        if "@" in key:
            record["metrics"]["test"][key] *= 1.1
    record["digest"] = digest(record)
    (folder / "result.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="its ranks say"):
        read_run(folder)


def test_digests_are_of_the_content():
    ranks = make_ranks(0.4, 0.1, 1)
    record = make_record(ranks)
    assert digest(record) == digest(dict(reversed(record.items()))) != digest({**record, "seed": 2})
    assert ranks_digest(ranks) == ranks_digest({**ranks, "rank": ranks["rank"].astype(np.int64)})
    for name, column in ranks.items():
        assert ranks_digest(ranks) != ranks_digest({**ranks, name: np.roll(column, 1)})


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert protocol_hash({"a": 1, "b": [2, 3]}) == protocol_hash({"b": [2, 3], "a": 1}) != protocol_hash({"a": 1})


def test_the_archive_holds_what_was_collected(tmp_path):
    board = tmp_path / "leaderboards"
    results = [saved(tmp_path / "runs", model=model, seed=seed) for model in ("TIGER", "SASRec") for seed in (1, 2)]
    assert [outcome for _, outcome in collect(results, board)] == ["added"] * 4
    protocol = results[0].record["protocol_hash"]
    names = {path.name for path in (board / "tiny" / "results" / protocol).iterdir()}
    assert names == {"rows.npz"} | {
        f"{m}-seed{s}.{e}" for m in ("TIGER", "SASRec") for s in (1, 2) for e in ("json", "npz")
    }
    again = read_archive(board, "tiny")
    assert [result.record for result in latest(again)] == [result.record for result in latest(results)]
    for result, original in zip(latest(again), latest(results)):
        for name, column in original.ranks.items():
            np.testing.assert_array_equal(result.ranks[name], column)
    assert [outcome for _, outcome in collect(results, board)] == ["is there already"] * 4
    assert read_archive(board, "other") == []


def test_the_last_finished_result_stays_in_the_archive(tmp_path):
    board = tmp_path / "leaderboards"
    old, new = (
        saved(tmp_path / day, good=good, finished=f"2026-01-0{day}T00:00:00+0000")
        for day, good in (("1", 0.3), ("2", 0.5))
    )
    assert [outcome for _, outcome in collect([old, new], board)] == ["added", "replaced an older one"]
    assert [outcome for _, outcome in collect([old], board)] == ["is older than the one there"]
    (kept,) = read_archive(board, "tiny")
    assert kept.record == new.record
    assert [result.record for result in latest([new, old])] == [new.record]


def test_results_over_other_test_rows_are_refused(tmp_path):
    one = saved(tmp_path / "1")
    ranks = make_ranks(0.4, 0.0, 7)
    ranks["user"] = ranks["user"][::-1].copy()
    folder = tmp_path / "2"
    folder.mkdir()
    write_result(folder, make_record(ranks, "SASRec"), ranks)
    with pytest.raises(UserError, match=r"\[age_days\] of its test rows"):
        list(collect([one, read_run(folder)], tmp_path / "leaderboards"))
    assert len(read_archive(tmp_path / "leaderboards", "tiny")) == 1


def test_a_record_in_the_wrong_place_is_refused(tmp_path):
    board = tmp_path / "leaderboards"
    list(collect([saved(tmp_path / "runs")], board))
    (path,) = (board / "tiny" / "results").glob("*/*.json")
    for suffix in (".json", ".npz"):
        path.with_suffix(suffix).rename(path.with_name(f"SpecGRPP-seed1{suffix}"))
    with pytest.raises(UserError, match=r"it belongs to .*TIGER-seed1"):
        read_archive(board, "tiny")


def test_a_record_names_the_commit_of_the_checkout():
    if not (ROOT / ".git").exists():
        pytest.skip("the tests run outside of a checkout")
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    named = environment({"device": torch.device("cpu"), "world_size": 1})["git_commit"]
    assert named.removesuffix("+changes") == done.stdout.strip()


def test_reading_records_needs_no_torch():
    code = (
        "import sys; import recbole_specgr.leaderboard.table; print('torch' in sys.modules, 'recbole' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_part_without_targets_is_a_dash():
    table = three_part_table(
        {"recall@5": 0.5, "in_sample_recall@5": 0.5, "in_sample_count": 4, "unseen_count": 0}, ["Recall"], [5]
    )
    assert [line.split()[-2:] for line in table.splitlines()[2:]] == [["4", "0.5000"], ["4", "0.5000"], ["0", "-"]]


@pytest.mark.parametrize("model", ["MostPop", "SemanticKNN"])
def test_a_run_says_where_zeros_on_new_targets_are_the_models_making(model, tiny_dataset, caplog):
    with caplog.at_level(logging.INFO):
        test = run_recbole(model, "tiny", config_dict={**tiny_dataset, "topk": [5], "valid_metric": "NDCG@5"})[
            "test_result"
        ]
    share = test["unseen_count"] / (test["unseen_count"] + test["in_sample_count"])
    said = "MostPop ranks items of its training data only. So its results on unseen targets are 0 by its making, and "
    assert (said + f"{share:.0%} of the targets are beyond its reach." in caplog.text) == (model == "MostPop")
    everything_seen = {**test, "unseen_count": 0}
    assert none_can_be_listed("MostPop", False, everything_seen) == ""
