"""Runs of whoever looks beside the published rows: marked, never averaged with them, and without any effect on them."""

import shlex

import numpy as np
import pytest
from leaderboard_records import MODELS, make_result, row_of, save_run, saved, some_results

from recbole_specgr.commands.command_line import main
from recbole_specgr.leaderboard.formats import to_markdown
from recbole_specgr.leaderboard.local import local_remarks, mine
from recbole_specgr.leaderboard.page import DatasetPage, build_page
from recbole_specgr.leaderboard.published import About
from recbole_specgr.leaderboard.small_table import chance_of, next_steps, reading, small_table
from recbole_specgr.leaderboard.summary import summarise
from recbole_specgr.leaderboard.table import confidence_table, leaderboard, results_table
from recbole_specgr.leaderboard.terminal import WIDE, to_terminal
from recbole_specgr.quick_start import run_recbole

NOW = "2026-11-28T14:40:48+0000"


def toy(model="TIGER", seed=1, good=0.1, **more):
    """A run of five minutes ago with other settings than the published ones."""
    return make_result(model, seed, good, finished=NOW, settings={"epochs": 2}, **more)


def test_a_toy_run_changes_no_published_number():
    (before,), (after,) = summarise(some_results()), summarise(some_results(), [toy(), toy("SpecGRPP", group="ours")])
    assert len(after.rows) == len(MODELS) + 2
    for model in MODELS:
        one, other = row_of(before, model), next(r for r in after.rows if r.model == model and not r.local)
        assert one.values == other.values and one.comparisons == other.comparisons and not other.left_out
        key = before.main_key
        assert before.place(key, one) == after.place(key, other)


def test_a_local_run_stands_below_the_published_row_of_its_model():
    (board,) = summarise(some_results(), [toy()])
    names = [(row.model, row.local) for row in board.rows]
    at = names.index(("TIGER", False))
    assert names[at + 1] == ("TIGER", True)
    local = board.rows[at + 1]
    assert local.values["recall@50"].mean == toy().record["metrics"]["test"]["recall@50"]
    assert board.place("recall@50", local) is None
    table = to_markdown(results_table(board))
    assert "| TIGER | 3 | published |" in table and "| TIGER | 1 | mine, 2026-11-28 14:40 |" in table
    assert local_remarks(board) == ["TIGER, mine, 2026-11-28 14:40 (seed 1): epochs 2 (published 5)."]
    assert local_remarks(board)[0] in leaderboard([board], to_markdown)
    assert "Best baseline: the best published row in its column" in table


def test_local_runs_of_one_setting_are_one_row_and_of_two_are_two():
    runs = [toy(seed=1), toy(seed=2), make_result("TIGER", 1, finished="2026-11-28T15:00:00+0000")]
    (board,) = summarise(some_results(), runs)
    local = [row for row in board.rows if row.local]
    assert sorted(len(row.results) for row in local) == [1, 2]
    pair = next(row for row in local if len(row.results) == 2)
    expected = np.mean([run.record["metrics"]["test"]["recall@50"] for run in runs[:2]])
    assert pair.values["recall@50"].mean == pytest.approx(expected)


def test_what_was_published_does_not_come_twice():
    published = some_results()
    (board,) = summarise(published, published[:4])
    assert not any(row.local for row in board.rows)
    assert "Best baseline: the best in its column" in to_markdown(results_table(board))


def test_where_nothing_is_published_local_runs_are_compared_with_each_other():
    (alone,), (usual,) = summarise([], some_results()), summarise(some_results())
    assert [row.model for row in alone.rows] == [row.model for row in usual.rows]
    assert row_of(alone, "SpecGRPP").comparisons == row_of(usual, "SpecGRPP").comparisons
    assert alone.place(alone.main_key, row_of(alone, "SpecGRPP")) == 1


def test_mine_shows_local_rows_and_what_they_are_compared_with():
    boards = summarise(some_results(), [toy("FDSA", group="feature + ID")])
    (board,) = mine(boards)
    best = board.best_row(board.main_key)
    assert [(row.model, row.local) for row in board.rows] == [("FDSA", False), ("FDSA", True), (best.model, False)]
    assert mine(summarise(some_results())) == []


def test_the_small_table(tmp_path):
    runs = [saved(tmp_path, model=model, good=good, unseen_good=unseen) for model, (_, good, unseen) in MODELS.items()]
    for run in runs:
        run.record["data"]["candidates"] = 200
    (board,) = summarise([], [run for run in runs if run.record["model"] in ("TIGER", "SpecGRPP")])
    grid = small_table(board)
    assert [column.title for column in grid.columns] == ["model", "run", "overall", "in-sample", "unseen"]
    assert [row[0].text for row in grid.rows] == ["SpecGR++", "TIGER", "A random list"]
    assert [cell.text for cell in grid.rows[-1][2:]] == ["0.2500"] * 3  # 50 of 200
    overall, unseen = (row_of(board, "SpecGRPP").values[f"{part}recall@50"].mean for part in ("", "unseen_"))
    assert f"SpecGR++ finds most of what users took next (Recall@50 {overall:.4f}), and most of what is new" in (
        reading(board)
    )
    assert f"({unseen:.4f})" in reading(board)
    steps = next_steps(board)
    assert f"recbole-specgr show {tmp_path}" in steps and "--model=MostPop" in steps
    with_popularity = summarise([], runs)[0]
    assert [row[0].text for row in small_table(with_popularity).rows][-2:] == ["MostPop", "A random list"]
    assert "--model=MostPop" not in next_steps(with_popularity)


def with_gini(model, good, gini, metrics):
    result = make_result(model, good=good, metrics=metrics)
    result.record["metrics"]["test"] |= {f"{part}giniindex@50": gini for part in ("", "in_sample_", "unseen_")}
    return result


@pytest.mark.parametrize("metrics", [["giniindex", "mrr"], ["mrr", "giniindex"], ["giniindex"]])
def test_the_small_table_and_its_sentence_are_of_hits(metrics):
    """The model of the larger Gini index has the less even lists, and is nowhere called the better one for it."""
    (board,) = summarise([], [with_gini("TIGER", 0.6, 0.3, metrics), with_gini("FDSA", 0.2, 0.9, metrics)])
    grid = small_table(board)
    assert [row[0].text for row in grid.rows] == ["TIGER", "FDSA"]
    if "mrr" in metrics:
        value = row_of(board, "TIGER").values["mrr@50"].mean
        assert grid.title.startswith("MRR@50") and grid.rows[0][2].value == value
        assert reading(board).startswith(f"TIGER finds most of what users took next (MRR@50 {value:.4f})")
    else:
        assert grid.title.startswith("GiniIndex@50") and reading(board) == grid.caption == ""
        assert '"answer"' not in build_page([DatasetPage("tiny", About("Tiny"), [board], [])]).partition("</style>")[2]


@pytest.mark.parametrize(
    ("metrics", "shown", "main"),
    [
        (["mrr", "recall"], ["recall", "mrr"], "recall"),
        (["giniindex", "hit", "mrr", "ndcg"], ["ndcg", "hit", "mrr"], "ndcg"),
        (["mrr", "ndcg", "recall"], ["recall", "ndcg"], "ndcg"),
        (["map", "mrr"], ["map", "mrr"], "mrr"),
    ],
)
def test_a_protocol_without_recall_or_ndcg_shows_all_that_ranks_give(metrics, shown, main):
    result = with_gini("TIGER", 0.6, 0.3, metrics) if "giniindex" in metrics else make_result(metrics=metrics)
    (board,) = summarise([], [result])
    assert (board.metrics, board.main_metric) == (shown, main)
    titles = {"recall": "Recall", "ndcg": "NDCG", "mrr": "MRR", "hit": "Hit", "map": "MAP"}
    table = to_terminal(results_table(board, [50]), WIDE)
    assert [title for name, title in titles.items() if f"{title}@50" in table] == [
        title for name, title in titles.items() if name in shown
    ]


def test_a_metric_or_a_record_without_chance_has_no_such_row():
    (board,) = summarise(some_results())
    assert chance_of(board) is None and small_table(board).rows[-1][0].text != "A random list"


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 160])
def test_no_line_is_wider_than_the_terminal(width):
    (board,) = summarise(some_results(), [toy(), toy("SpecGRPP", group="ours")])
    for grid in (results_table(board, [50]), results_table(board), confidence_table(board), small_table(board)):
        text = to_terminal(grid, width)
        assert max(map(len, text.splitlines())) <= width
        assert "\x1b" not in text
        assert all(row[0].text in text for row in grid.rows)


def test_what_does_not_fit_is_named_and_wide_shows_it():
    (board,) = summarise(some_results())
    grid = results_table(board)
    narrow, wide = to_terminal(grid, 80), to_terminal(grid, WIDE)
    assert "Left out" in narrow and "users/s" in narrow.partition("Left out")[2]
    assert "Left out" not in wide and "users/s" in wide and " ± " in wide
    assert "NDCG@50" in narrow.splitlines()[3]  # the main metric stays


def test_the_folder_of_a_single_run_is_shown(tmp_path, capsys):
    run, other = (save_run(tmp_path / "runs", make_result(model)) for model in ("TIGER", "SpecGRPP"))
    mine = run.rename(tmp_path / "my_run")
    words = ["leaderboard", f"--leaderboards={tmp_path}/boards"]
    assert main([*words, "--dataset=tiny", f"--runs={mine}"]) == 0
    shown = capsys.readouterr().out
    assert "TIGER" in shown and "SpecGR++" not in shown
    assert main([*words, "--dataset=tiny", f"--runs={other}"]) == 0
    shown = capsys.readouterr().out
    assert "SpecGR++" in shown and "TIGER" not in shown
    assert main([*words, "--dataset=ml-100k", f"--runs={mine}"]) == 2
    assert f"[--runs={mine}] is a run on tiny, not on ml-100k. Give --dataset=tiny" in capsys.readouterr().err


def test_a_run_that_tables_do_not_find_says_how_to_show_it(tiny_dataset, tmp_path, monkeypatch, caplog, capsys):
    """Its sentence holds a command that shows it, and no sentence where the usual command does."""
    monkeypatch.chdir(tmp_path)
    given = {**tiny_dataset, "topk": [5], "valid_metric": "NDCG@5", "runs_path": "runs"}

    def said(**more) -> list[str]:
        caplog.clear()
        run_recbole("MostPop", "tiny", config_dict={**given, **more})
        return [text for text in caplog.messages if "Tables look" in text]

    assert said() == said(run_dir="runs/tiny/MostPop/mine") == []
    for more, runs in (({"run_dir": "my run"}, "'my run'"), ({"runs_path": "elsewhere"}, "elsewhere")):
        (text,) = said(**more)
        command = text.partition(" To show this one: recbole-specgr ")[2]
        assert text.startswith("Tables look for runs in runs/tiny.") and command.endswith(f" --runs={runs}")
        capsys.readouterr()
        assert main([*shlex.split(command), "--leaderboards=none"]) == 0
        assert "Popularity" in capsys.readouterr().out


def test_a_damaged_run_is_left_out_and_hides_no_other(tmp_path, capsys):
    damaged, whole = (saved(tmp_path / "runs", model=model) for model in ("TIGER", "SpecGRPP"))
    (damaged.source.parent / "ranks.npz").unlink()
    words = [f"--dataset={whole.record['dataset']}", f"--runs={tmp_path / 'runs'}", f"--leaderboards={tmp_path}"]
    assert main(["leaderboard", *words]) == 0
    shown = capsys.readouterr()
    assert "SpecGR++" in shown.out and "TIGER" not in shown.out
    assert shown.err.startswith("warning: ") and str(damaged.source.parent) in shown.err
