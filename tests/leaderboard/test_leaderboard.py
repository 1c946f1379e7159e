"""Results -> boards -> tables and files: numbers by hand, formats, and rendering that never changes by itself."""

import copy
import csv
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from conftest import ROOT
from leaderboard_records import MODELS, make_result, row_of, save_run, saved, some_results

from recbole_specgr.commands.reproduce import run as reproduce
from recbole_specgr.evaluation.significance import bootstrap_interval, by_user, holm, paired_test
from recbole_specgr.leaderboard.archive import Result, collect, latest, read_archive
from recbole_specgr.leaderboard.formats import escape, to_csv, to_latex, to_markdown, to_terminal
from recbole_specgr.leaderboard.grid import Cell, Column, Grid
from recbole_specgr.leaderboard.html import to_html
from recbole_specgr.leaderboard.published import About, published_beside, read_about
from recbole_specgr.leaderboard.render import render_all, study_data
from recbole_specgr.leaderboard.reproduction import command_of, compare, find_row, read_rows, rows_yaml
from recbole_specgr.leaderboard.study_data import training_curves
from recbole_specgr.leaderboard.study_plots import study_plots
from recbole_specgr.leaderboard.study_view import study_grids
from recbole_specgr.leaderboard.summary import Row, summarise
from recbole_specgr.leaderboard.table import (
    confidence_table,
    cost_table,
    every_number,
    leaderboard,
    metrics_by_model,
    models_by_part,
    published_table,
    remarks,
    results_table,
)
from recbole_specgr.leaderboard.views import views
from recbole_specgr.runs.comparison import alike_records
from recbole_specgr.runs.record import digest, ranks_digest
from recbole_specgr.settings.registry import resolve
from recbole_specgr.settings.yaml_values import read_mapping
from recbole_specgr.studies.spec import list_studies, read_study
from recbole_specgr.system.errors import UserError


@pytest.fixture(scope="module")
def board():
    (found,) = summarise(some_results())
    return found


def texts(grid):
    return [[cell.text for cell in row] for row in grid.rows]


# ---- summary ---------------------------------------------------------------------------------------------------------


def test_models_come_by_group_and_the_best_of_a_group_first(board):
    assert [row.model for row in board.rows] == ["MostPop", "FDSA", "TIGER", "Mine", "SpecGRPP", "SpecGR_Aux"]
    assert [row.name for row in board.rows][-2:] == ["SpecGR++", "SpecGR_Aux"]


def test_means_and_deviations_over_seeds(board):
    row = row_of(board, "FDSA")
    for key in ("recall@50", "in_sample_ndcg@50", "unseen_recall@10"):
        found = [result.record["metrics"]["test"][key] for result in row.results]
        assert row.values[key].mean == mean(found) and row.values[key].deviation == stdev(found)
    (single,) = summarise(some_results(seeds=(1,)))
    assert row_of(single, "FDSA").values["recall@50"].deviation is None


def test_intervals_are_those_of_the_means_over_seeds(board):
    row = row_of(board, "SpecGRPP")
    ranks = [result.ranks["rank"] for result in row.results]
    hits = np.mean([(rank > 0) & (rank <= 50) for rank in ranks], axis=0)
    users, unseen = row.results[0].ranks["user"], row.results[0].ranks["unseen"]
    for key, chosen in (
        ("recall@50", np.ones(240, bool)),
        ("unseen_recall@50", unseen),
        ("in_sample_recall@50", ~unseen),
    ):
        sums = by_user((hits * chosen)[:, None], users)
        expected = bootstrap_interval(sums, by_user(chosen[:, None].astype(float), users))[:, 0]
        np.testing.assert_allclose(row.values[key].interval, expected)
        assert expected[0] <= row.values[key].mean <= expected[1]


def test_rows_of_seeds_may_be_in_any_order(board):
    results = []
    for number, result in enumerate(some_results()):
        order = np.random.default_rng(number).permutation(240)
        results.append(replace(result, ranks={name: column[order] for name, column in result.ranks.items()}))
    (shuffled,) = summarise(results)
    for row, other in zip(board.rows, shuffled.rows, strict=True):
        assert (row.model, row.comparisons.keys()) == (other.model, other.comparisons.keys())
        for key, value in row.values.items():
            assert other.values[key].mean == value.mean
            assert other.values[key].interval == (value.interval and pytest.approx(value.interval))
        for key, comparison in row.comparisons.items():
            assert other.comparisons[key].p_value == pytest.approx(comparison.p_value)


def test_ours_are_held_against_the_best_baseline_of_each_column(board):
    assert board.best_baseline["recall@50"] == "TIGER" and board.best_baseline["unseen_recall@50"] == "Mine"
    assert not row_of(board, "TIGER").comparisons
    ours, keys = [row_of(board, model) for model in ("SpecGRPP", "SpecGR_Aux")], list(board.best_baseline)
    p_values = []
    for row in sorted(ours, key=lambda row: list(MODELS).index(row.model)):
        for key in keys:
            best = row_of(board, board.best_baseline[key])
            part, metric, k = re.fullmatch(r"(in_sample_|unseen_|)(\w+)@(\d+)", key).groups()
            ranks = row.results[0].ranks
            chosen = {"": np.ones(240, bool), "unseen_": ranks["unseen"], "in_sample_": ~ranks["unseen"]}[part]
            values = [np.zeros(240), np.zeros(240)]
            for place, who in enumerate((row, best)):
                for result in who.results:
                    rank = np.maximum(result.ranks["rank"], 1)
                    hit = (result.ranks["rank"] > 0) & (result.ranks["rank"] <= int(k))
                    values[place] += hit / (np.log2(rank + 1) if metric == "ndcg" else 1) / 3
            p_values.append(((values[0] - values[1]) * chosen)[:, None])
            change = row.values[key].mean / best.values[key].mean - 1
            assert row.comparisons[key].change == pytest.approx(change)
    users = row.results[0].ranks["user"]
    by_model = [np.concatenate(p_values[start : start + len(keys)], 1) for start in (0, len(keys))]
    expected = holm(np.concatenate([paired_test(by_user(part, users)) for part in by_model]))
    found = [
        row.comparisons[key].p_value
        for row in sorted(ours, key=lambda row: list(MODELS).index(row.model))
        for key in keys
    ]
    np.testing.assert_allclose(found, expected)
    assert row_of(board, "SpecGRPP").comparisons["unseen_recall@50"].significant


def test_protocols_never_share_a_board():
    boards = summarise([*some_results(), make_result("TIGER", fingerprint="other")])
    assert [len(board.rows) for board in boards] == [len(MODELS), 1]
    tables = leaderboard(boards, to_markdown)
    assert tables.count("| model | seeds") == 2


def test_results_of_other_settings_are_left_out_of_the_mean():
    old = [make_result("TIGER", seed, 0.9, settings={"d_model": 8}) for seed in (1, 2)]
    new = make_result("TIGER", 3, 0.3, settings={"d_model": 64}, finished="2026-02-01T00:00:00+0000")
    (board,) = summarise([*old, new])
    (row,) = board.rows
    assert [result.record["seed"] for result in row.results] == [3] and len(row.left_out) == 2
    text = leaderboard([board], to_terminal)
    assert "Left out" in text and "TIGER (seed 1, 2)" in text


def test_seeds_of_machines_of_other_precisions_are_one_row():
    """Also of the runs that parameters were taken from. What else differs keeps them apart, as everything does."""

    def result(seed, precision, part, **settings):
        made = make_result("SpecGR_RPG", seed, 0.9, settings={"precision": precision, **settings})
        taken = {"drafter_run": {"record": None, "settings": {"precision": part, "epochs": 3}}}
        return replace(made, record={**made.record, "taken": taken})

    said = "Seeds computed in fp32 and in bf16, as their machines are: SpecGR_RPG."
    one = result(1, "bf16", "bf16")
    for other in (result(2, "fp32", "bf16"), result(2, "bf16", "fp32")):
        (board,) = summarise([one, other])
        assert len(board.rows[0].results) == 2 and said in remarks(board)
    (board,) = summarise([one, result(2, "bf16", "bf16")])
    assert len(board.rows[0].results) == 2 and said not in remarks(board)
    for key, values in {"d_model": (8, 64), "text_precision": ("fp32", "fp16")}.items():
        seeds = [result(seed, "bf16", "bf16", **{key: value}) for seed, value in enumerate(values)]
        assert len(summarise(seeds)[0].rows[0].results) == 1


def test_what_finished_last_is_told_across_time_zones():
    evening = make_result("TIGER", 1, 0.9, finished="2026-02-01T20:00:00-0800")  # 04:00 of the next day in UTC
    night = make_result("TIGER", 1, 0.3, finished="2026-02-02T01:00:00+0000")
    assert latest([evening, night]) == latest([night, evening]) == [evening]
    (board,) = summarise([night, evening])
    assert board.rows[0].results == [evening] and f"{board.rows[0].finished:%H:%M %z}" == "20:00 -0800"


def test_a_board_without_unseen_targets_or_without_ours():
    results = [make_result("TIGER", group="generative")]
    for result in results:
        result.ranks["unseen"][:] = False
        test = result.record["metrics"]["test"]
        result.record["metrics"]["test"] = {key: value for key, value in test.items() if "unseen_" not in key}
        result.record["metrics"]["test"].update(unseen_count=0, in_sample_count=240)
    (board,) = summarise(results)
    at = [f"{column.span} {column.title}".strip() for column in results_table(board).columns].index("unseen Recall@50")
    assert texts(results_table(board))[0][at] == "-"
    for write in (to_terminal, to_markdown, to_latex, to_csv):
        assert write(results_table(board)) and write(every_number(board))


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_the_results_table(board):
    grid = results_table(board)
    columns = [f"{column.span} {column.title}".strip() for column in grid.columns]
    rows = {row[0].text: dict(zip(columns, row)) for row in grid.rows}
    best = rows["SpecGR++"]["overall Recall@50"]
    value = row_of(board, "SpecGRPP").values["recall@50"]
    assert best.text == f"{value.mean:.4f} ± {value.deviation:.4f}" and (best.place, best.note) == (1, "†")
    assert rows["SpecGR_Aux"]["overall Recall@50"].place == 2
    assert rows["TIGER"]["unseen Recall@50"].place is None and rows["TIGER"]["vs best baseline"].text == "-"
    reference = row_of(board, "TIGER").values["ndcg@50"].mean
    change = 100 * (row_of(board, "MostPop").values["ndcg@50"].mean / reference - 1)
    assert rows["MostPop"]["vs best baseline"].text == f"{change:+.1f} %"


def test_the_papers_layouts(board):
    grid = metrics_by_model(board)
    assert [row[0].text for row in grid.rows] == ["Recall@10", "NDCG@10", "Recall@50", "NDCG@50"]
    assert grid.columns[-1].title == "Improv." and grid.rows[2][-1].text.startswith("+")
    assert ("ours", 2) in grid.spans
    latex = to_latex(grid)
    assert latex.count(r"\textbf{") == 4 and r"\cmidrule(lr)" in latex and r"\toprule" in latex
    parts = models_by_part(board)
    assert [span for span, _ in parts.spans] == ["", "Overall", "In-sample (75.0 %)", "Unseen (25.0 %)"]
    assert to_latex(parts).count(r"\midrule") == 5  # below the head and between five groups


def test_every_number_is_in_the_csv(board):
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(to_csv(every_number(board))))}
    assert set(rows) == set(MODELS) and rows["TIGER"]["group"] == "generative"
    value = row_of(board, "SpecGRPP").values["unseen_ndcg@50"]
    found = [float(rows["SpecGRPP"][f"unseen_ndcg@50{side}"]) for side in ("", " sd", " low", " high")]
    assert found == [float(f"{number:.10g}") for number in (value.mean, value.deviation, *value.interval)]
    assert rows["SpecGRPP"]["parameters.embedding"] == "400" and rows["SpecGRPP"]["training_seconds"] == "7.5"


def test_a_seed_that_ran_beside_other_work_changes_no_cost():
    seeds = [{"training": {"train": {"seconds": n}}, "test": {"users_per_second": 10 * n}} for n in (2.0, 1.0, 90.0)]
    row = Row("TIGER", [SimpleNamespace(record=record) for record in seeds], [])
    assert row.training_seconds == 2.0
    assert row.median_of("test", "users_per_second") == 20.0
    assert row.median_of("test", "batch_size") is None


def test_costs_name_every_machine_of_a_row(board):
    row = row_of(board, "TIGER")
    elsewhere = copy.deepcopy(row.results[0])
    elsewhere.record["hardware"]["cpu"] = "another processor"
    moved = replace(board, rows=[replace(row, results=[*row.results, elsewhere])])
    assert cost_table(board).rows[0][-1].text == "a processor, 2 threads"
    assert cost_table(moved).rows[0][-1].text == "a processor, 2 threads; another processor, 2 threads"


def test_published_results_stand_beside_with_the_difference_in_per_cent(board):
    published = published_beside(board, About(paper="Amazon2023_Video_Games"))
    assert published["SpecGRPP"][0].results["recall@50"] == 0.0717 and published_beside(board, About()) == {}
    grid = published_table(board, published)
    assert [row[0].text for row in grid.rows] == ["FDSA", "TIGER", "SpecGR++", "SpecGR_Aux"]
    at = [f"{column.span} {column.title}" for column in grid.columns].index("overall Recall@50 published")
    here, theirs, change = next(row[at - 1 : at + 2] for row in grid.rows if row[0].text == "SpecGR++")
    assert theirs.text == "0.0717" and here.value == row_of(board, "SpecGRPP").values["recall@50"].mean
    assert change.text == f"{100 * (here.value / 0.0717 - 1):+.1f}"
    assert published_table(board, {}) is None


def test_published_results_are_of_the_boards_data_and_split(tmp_path):
    def beside(**protocol):
        (board,) = summarise([make_result("TIGER", dataset="amazon_beauty_2014", topk=[5, 10], **protocol)])
        return board, published_beside(board, About())

    board, published = beside(split="leave_one_out")
    grid = published_table(board, published)
    assert len(published["TIGER"]) == len(grid.rows) == 7
    assert grid.rows[0][1].text == "Rajput et al., NeurIPS 2023, Table 1"
    columns = [f"{column.span} {column.title}" for column in grid.columns]
    assert [grid.rows[0][columns.index(f"overall {name} published")].text for name in ("Recall@10", "NDCG@10")] == [
        "0.0648",
        "0.0384",
    ]
    short = published_table(board, published, largest_k=True)
    assert {column.span for column in short.columns} == {"", "overall Recall@10", "overall NDCG@10"}
    assert "Rajput et al." in leaderboard([board], to_markdown, lambda of: published_beside(of, About()))
    assert "Beside published results" not in leaderboard([board], to_markdown)
    assert [entry.results for entry in published["TIGER_decoder"]] == [entry.results for entry in published["TIGER"]]
    assert beside()[1] == {}  # by time
    assert beside(split="leave_one_out", launch_holdout={"share": 0.2, "seed": 1})[1] == {}


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, True),
        ({"timestamp_split": [1628643414042, 1658002729837], "repeatable": True}, True),  # of the data set's own file
        ({"timestamp_split": [0.8, 0.9]}, False),
        ({"repeatable": False}, False),
        ({"item_inter_num_interval": "[10,inf)"}, False),
    ],
)
def test_published_results_stand_beside_the_usual_targets_only(settings, shown):
    (board,) = summarise([make_result("TIGER", dataset="Amazon2023_Video_Games", settings=settings)])
    assert bool(published_beside(board, About())) == shown


def test_formats():
    rows = [[Cell("a_b|c"), Cell("0.5 ± 0.1", 1, "†", 0.5)], [Cell("100 % & <"), Cell("-0.2", 2, "", -0.2)]]
    grid = Grid("T", [Column("model", align="left"), Column("R", "all")], rows, ["x", "y"], "Why.")
    assert (
        "**0.5 ± 0.1**†" in to_markdown(grid) and "<u>-0.2</u>" in to_markdown(grid) and r"a_b\|c" in to_markdown(grid)
    )
    assert "| *y* |  |" in to_markdown(grid)
    hostile = Grid("<i>t</i>", [Column("<b>"), Column("n")], [[Cell("<script>|&lt;\nx"), Cell("< 0.05")]], ["<u>"])
    lines = to_markdown(hostile).splitlines()
    assert lines[0] == "**&lt;i>t&lt;/i>**" and lines[2] == "| &lt;b> | n |" and lines[4] == "| *&lt;u>* |  |"
    assert lines[5] == r"| &lt;script>\|&amp;lt; x | < 0.05 |"
    latex = to_latex(grid)
    assert r"a\_b|c & \textbf{0.5 $\pm$ 0.1}$^{\dagger}$ \\" in latex
    assert r"100 \% \& $<$ & \underline{$-$0.2} \\" in latex and r"\midrule" in latex
    assert escape("\\{~^#") == r"\textbackslash{}\{\textasciitilde{}\textasciicircum{}\#"
    assert to_csv(grid).splitlines() == ["model,all R,group", "a_b|c,0.5,x", "100 % & <,-0.2,y"]
    assert "0.5 ± 0.1 *†" in to_terminal(grid) and "*: the best of a column." in to_terminal(grid)


def test_of_a_range_csv_has_both_ends_and_the_page_sorts_by_its_middle(board):
    grid = Grid("T", [Column("model"), Column("R")], [[Cell("a"), Cell("0.2 to 0.4", value=0.2, upper=0.4)]])
    assert to_csv(grid).splitlines() == ["model,R", "a,0.2 to 0.4"]
    assert '<td data-value="0.3">0.2 to 0.4</td>' in to_html(grid)
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(to_csv(confidence_table(board))))}
    for row in board.rows:
        ends = rows[row.name]["unseen 95 % interval"].split(" to ")
        assert [float(end) for end in ends] == pytest.approx(row.values["unseen_ndcg@50"].interval, rel=1e-9)


def stage_of(*scores, **more):
    """A stage of training with these validations, 0.5 s an epoch; None is an epoch that was not validated."""
    history = [
        {"epoch": epoch, "seconds": 0.5} | ({} if score is None else {"ndcg@50": score})
        for epoch, score in enumerate(scores, 1)
    ]
    best = max((score, epoch) for epoch, score in enumerate(scores, 1) if score is not None)[1]
    return {"epochs": len(scores), "best_epoch": best, "rows": 9, "seconds": 2.0, "history": history, **more}


def trained(model, seed, **stages):
    result = make_result(model, seed)
    return replace(result, record={**result.record, "training": stages})


def test_rows_that_were_not_trained_out_are_marked():
    out, limit = {"stopped": "patience", "improving": False}, {"stopped": "limit", "improving": True}
    results = [trained("TIGER", 1, train=stage_of(0.1, 0.2, 0.2, **out))]
    results += [trained("DSI", 1, train=stage_of(0.1, 0.2, 0.1, **out))]
    results += [trained("DSI", 2, pretrain=stage_of(0.1, 0.3, **limit), train=stage_of(0.1, 0.2, 0.1, **out))]
    (board,) = summarise(results)
    assert {row[0].text: row[0].note for row in results_table(board).rows} == {"TIGER": "", "DSI": "‡"}
    assert [remark for remark in remarks(board) if remark.startswith("‡: not trained out.")]
    (board,) = summarise(results[:2])
    assert not [remark for remark in remarks(board) if "trained out" in remark]


def test_what_takes_parameters_from_a_run_is_marked_like_it():
    """Directly, or by way of another run; where that run is not there, nobody knows."""

    def taking(model, digest):
        made = trained(model, 1)
        command = f"run_recbole.py --model={model} --dataset=tiny --seed=1 --drafter_run=runs/x"
        taken = {"drafter_run": {"record": digest, "settings": {}}}
        return replace(made, record={**made.record, "command": command, "taken": taken})

    out, limit = {"stopped": "patience", "improving": False}, {"stopped": "limit", "improving": True}
    ended, done = (trained(name, 1, train=stage_of(0.1, 0.2, **how)) for name, how in (("DSI", limit), ("TIGER", out)))
    first = taking("SpecGR_Aux", ended.record["digest"])
    of_first, of_done = taking("Ensemble", first.record["digest"]), taking("LIGER", done.record["digest"])
    (board,) = summarise([ended, done, first, of_first, of_done, taking("UniSRec", "0" * 64)])
    marked = {row[0].text for row in results_table(board).rows if row[0].note == "‡"}
    assert marked == {"DSI", "SpecGR_Aux", "Ensemble"}
    (local,) = summarise([ended], [first])
    assert [row.improving for row in local.rows] == [True, True]


@pytest.mark.parametrize(("new", "said"), [(50, True), (51, False)])
def test_lists_that_can_hold_all_new_items_are_said(new, said):
    result = make_result()
    data = {**result.record["data"], "candidates": 200, "seen_items": 200 - new}
    (board,) = summarise([replace(result, record={**result.record, "data": data})])
    assert any(remark.startswith("In test there are 50 new items") for remark in remarks(board)) == said
    (board,) = summarise([result])
    assert not remarks(board)


def test_learning_curves_follow_epochs_and_seconds():
    """By hand: stages follow each other, epochs without a validation count, seeds are averaged."""
    study = read_study("learning_curves")
    stages = {"pretrain": stage_of(None, 0.2), "finetune": stage_of(0.4)}
    (board,) = summarise([trained("TIGER", 1, **stages), trained("TIGER", 2, train=stage_of(0.1, 0.3, 0.3))])
    data = training_curves(study, board)
    found = {point.axes["epoch"]: {key: value.mean for key, value in point.values.items()} for point in data.points}
    assert found.pop(1) == {}  # of one seed only
    assert {epoch: (values["valid_ndcg@50"], values["training_seconds"]) for epoch, values in found.items()} == {
        2: (0.25, 1.0),
        3: (pytest.approx(0.35), 1.5),
    }
    by_epoch, by_seconds = study_plots(data)
    assert (sorted(by_epoch.series[0].x), sorted(by_seconds.series[0].x)) == ([2, 3], [1.0, 1.5])
    (grid,) = study_grids(data)
    assert [cell.text for cell in grid.rows[0]] == ["TIGER", "0.3500 ± 0.0707", "3", "1.5"]


def test_learning_curves_of_seeds_of_other_lengths():
    """By hand: bests of 0.3, 0.6 and 0.5 after 2, 3 and 4 epochs of half a second. The mean curve is of all seeds, so
    it ends after 2; its best, 0.2667, is no seed's."""
    scores = {1: (0.1, 0.3), 2: (0.2, 0.2, 0.6), 3: (0.5, 0.1, 0.1, 0.1)}
    (board,) = summarise([trained("TIGER", seed, train=stage_of(*of_seed)) for seed, of_seed in scores.items()])
    data = training_curves(read_study("learning_curves"), board)
    by_epoch, by_seconds = study_plots(data)
    assert (by_epoch.series[0].x, by_seconds.series[0].x) == ([1, 2], [0.5, 1.0])
    assert by_epoch.series[0].y == by_seconds.series[0].y == pytest.approx([0.8 / 3, 0.2])
    (grid,) = study_grids(data)
    assert [cell.text for cell in grid.rows[0]] == ["TIGER", "0.4667 ± 0.1528", "3", "1.5"]
    assert to_csv(grid).splitlines()[1] == "TIGER,0.4666666667,3,1.5"


def test_a_validation_that_is_no_number_is_no_point_of_a_curve():
    """Records have null for it."""
    results = [trained("TIGER", seed, train=stage_of(0.1, 0.2, 0.4)) for seed in (1, 2)]
    results[0].record["training"]["train"]["history"][1]["ndcg@50"] = None
    (board,) = summarise(results)
    data = training_curves(read_study("learning_curves"), board)
    assert study_plots(data)[0].series[0].x == [1, 3]
    (grid,) = study_grids(data)
    assert [cell.text for cell in grid.rows[0]] == ["TIGER", "0.4000 ± 0.0000", "3", "1.5"]


def test_models_of_one_display_name_are_told_apart(tmp_path):
    """Two baselines whose files both say `display_name: Mine`, in the same seed: no mean of both, anywhere."""
    results = [trained("First", 1, train=stage_of(0.1)), trained("Second", 1, train=stage_of(0.3, 0.5))]
    results = [replace(result, record={**result.record, "display_name": "Mine"}) for result in results]
    results.append(trained("TIGER", 1, train=stage_of(0.2)))
    (board,) = summarise(results)
    names = ["Mine (First)", "Mine (Second)", "TIGER"]
    for grid in (results_table(board), confidence_table(board), cost_table(board)):
        assert sorted(row[0].text for row in grid.rows) == names
    (grid,) = study_grids(training_curves(read_study("learning_curves"), board))
    assert sorted(texts(grid)) == [
        ["Mine (First)", "0.1000", "1", "0.5"],
        ["Mine (Second)", "0.5000", "2", "1"],
        ["TIGER", "0.2000", "1", "0.5"],
    ]
    (data,) = study_data(read_study("by_popularity"), tmp_path, "tiny", [board])
    for result, name in zip(results, names):
        new = result.ranks["popularity"] == 0
        point = next(p for p in data.points if (p.label, p.axes) == (name, {"popularity": "0"}))
        assert point.values["recall@50"].mean == np.mean(result.ranks["rank"][new] > 0)
    assert set(data.highlighted) <= {point.label for point in data.points}


def test_names_are_the_same_in_every_view_and_those_of_local_rows_say_so():
    published = [make_result("First", seed) for seed in (1, 2)] + [make_result("Second", 1)]
    local = [make_result("First", 1, 0.9, settings={"epochs": 2}, finished="2026-02-01T00:00:00+0000")]
    published, local = (
        [replace(result, record={**result.record, "display_name": "Mine"}) for result in results]
        for results in (published, local)
    )
    (board,) = summarise(published)
    assert {row.name for view in views(board) for row in view.board.rows} == {"Mine (First)", "Mine (Second)"}
    (board,) = summarise(published, local)
    data = training_curves(read_study("learning_curves"), board)
    labels = {"Mine (First)", "Mine (Second)", "Mine (First), mine, 2026-02-01 00:00"}
    assert {point.label for point in data.points} == labels


def test_the_csv_of_learning_curves_has_the_best_validation_and_the_last_epoch():
    (board,) = summarise([trained("TIGER", 1, train=stage_of(0.1, 0.3, 0.2))])
    (grid,) = study_grids(training_curves(read_study("learning_curves"), board))
    assert to_csv(grid).splitlines() == [',best valid NDCG@50,epochs,"training, s"', "TIGER,0.3,3,1.5"]


def test_results_by_slices_of_the_test_rows(board, tmp_path):
    (data,) = study_data(read_study("by_popularity"), tmp_path, "tiny", [board])
    point = next(p for p in data.points if (p.label, p.axes) == ("FDSA", {"popularity": "10 to 25"}))
    chosen = row_of(board, "FDSA").results[0].ranks["popularity"]
    chosen = (chosen >= 10) & (chosen < 25)
    hits = [result.ranks["rank"][chosen] > 0 for result in row_of(board, "FDSA").results]
    assert point.values["recall@50"].mean == pytest.approx(np.mean(hits))
    assert point.values["rows"].mean == chosen.sum()
    (grid,) = study_grids(data)
    counts = [int(cell.text) for cell in grid.rows[0][1:]]
    assert grid.rows[0][0].text == "test rows" and sum(counts) == 240
    assert next(p for p in data.points if p.axes["popularity"] == "0").values["rows"].mean == 60  # the unseen ones


# ---- rendering -------------------------------------------------------------------------------------------------------


@pytest.fixture
def leaderboards(tmp_path):
    """A leaderboard of every model and three seeds, rendered."""
    folder = tmp_path / "leaderboards"
    list(collect(some_results(), folder))
    (folder / "tiny" / "about.yaml").write_text(
        "title: A tiny one\nget_it: fetch it\npaper: Amazon2023_Video_Games\nnotes: [Mind this.]\n"
    )
    render_all(folder)
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_what_is_deleted_comes_back_byte_for_byte(leaderboards):
    before = contents(leaderboards)
    rendered = [name for name in before if "/results/" not in name and not name.endswith("about.yaml")]
    assert {"index.html", "tiny/README.md", "tiny/rows.yaml"} < set(rendered) and len(rendered) > 10
    for name in rendered:
        (leaderboards / name).unlink()
    command = [sys.executable, str(ROOT / "scripts" / "leaderboard.py"), "--all", f"--leaderboards={leaderboards}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert contents(leaderboards) == before
    assert sorted(done.stdout.split()) == sorted(str(leaderboards / name) for name in rendered)


def test_rendering_does_not_depend_on_the_order_of_collecting(leaderboards, tmp_path):
    other = tmp_path / "other"
    list(collect(reversed(some_results()), other))
    shutil.copy(leaderboards / "tiny" / "about.yaml", other / "tiny" / "about.yaml")
    render_all(other)
    before, after = contents(leaderboards), contents(other)
    assert {name for name in before if before[name] != after[name]} <= {
        name for name in before if name.endswith("rows.npz")
    }


def test_honest_rows_in_another_order_are_collected_and_others_refused(tmp_path):
    first, other = make_result("TIGER", 1), make_result("SASRec", 1)
    order = np.random.default_rng(0).permutation(len(other.ranks["rank"]))
    ranks = {name: column[order] for name, column in other.ranks.items()}
    record = {**other.record, "ranks_digest": ranks_digest(ranks)}
    shuffled = replace(other, ranks=ranks, record={**record, "digest": digest(record)})
    assert [outcome for _, outcome in collect([first, shuffled], tmp_path)] == ["added", "added"]
    read = {result.record["model"]: result for result in read_archive(tmp_path, "tiny")}
    assert all((read["SASRec"].ranks[name] == ranks[name]).all() for name in ranks)
    straight, mixed = (summarise([first, second])[0] for second in (other, read["SASRec"]))
    for row in straight.rows:
        assert row_of(mixed, row.model).values == row.values
    false = {**ranks, "popularity": np.roll(ranks["popularity"], 1)}
    record = {**record, "model": "GRU4Rec", "ranks_digest": ranks_digest(false)}
    with pytest.raises(UserError, match=r"the column \[popularity\] of its test rows is not that of the other results"):
        list(collect([replace(other, ranks=false, record={**record, "digest": digest(record)})], tmp_path))


def again(first, **settings):
    """A later result of the same name, of other settings."""
    record = {**first.record, "finished": "2099-01-01T00:00:00+0000"}
    record["settings"] = {**record["settings"], **settings}
    return replace(first, record={**record, "digest": digest(record)})


def test_a_result_of_other_parts_does_not_replace_one_of_the_same_name(tmp_path):
    first = make_result("SpecGR_Aux", 1)
    list(collect([first], tmp_path))
    for replaces_others in (False, True):
        with pytest.raises(UserError, match=r"its \[drafter\] is \[SemanticKNN\].*a name of its own"):
            list(collect([again(first, drafter="SemanticKNN")], tmp_path, replaces_others))


def test_a_result_of_other_settings_replaces_one_of_the_same_name_only_when_asked_to(tmp_path):
    first = make_result("TIGER", 1)
    list(collect([first], tmp_path))
    (kept,) = (tmp_path / "tiny" / "results").glob("*/TIGER-seed1.json")
    before = kept.read_text()
    later = again(first, learning_rate=0.5, epochs=9)
    names = r"\[learning_rate\] was 0.001, now it is 0.5; \[epochs\] was 5, now it is 9"
    with pytest.raises(UserError, match=f"{names}. To keep both, .* --replace$"):
        list(collect([later], tmp_path))
    assert kept.read_text() == before, "the record there is not lost"
    ((_, outcome),) = collect([later], tmp_path, replaces_others=True)
    assert re.fullmatch(f"replaced an older one of other settings: {names}", outcome)
    assert json.loads(kept.read_text())["settings"]["epochs"] == 9


def test_a_result_that_was_evaluated_otherwise_replaces_one_and_says_so(tmp_path):
    first = make_result("TIGER", 1, settings={"eval_batch_size": 8, "gpu_id": "0"})
    list(collect([first], tmp_path))
    ((_, outcome),) = collect([again(first, eval_batch_size=16, gpu_id="1")], tmp_path)
    assert outcome == "replaced an older one of other settings: [eval_batch_size] was 8, now it is 16"
    same = make_result("SASRec", 1)
    assert [outcome for _, outcome in collect([same, again(same)], tmp_path)] == ["added", "replaced an older one"]


def test_a_result_made_of_runs_of_other_settings_is_one_of_other_settings(tmp_path):
    def made_of(epochs, finished):
        first = make_result("SpecGR_Aux", 1, finished=finished)
        taken = {"drafter_run": {"record": None, "settings": {"epochs": epochs}}}
        record = {**first.record, "taken": taken}
        return replace(first, record={**record, "digest": digest(record)})

    list(collect([made_of(1, "2026-01-01T00:00:00+0000")], tmp_path))
    with pytest.raises(UserError, match=r"\[drafter_run: epochs\] was 1, now it is 30"):
        list(collect([made_of(30, "2026-01-02T00:00:00+0000")], tmp_path))


def test_of_a_run_whose_training_is_taken_over_its_tuning_does_not_count():
    def taking(run, **settings):
        first = make_result("SpecGRPP", 1).record
        return {**first, "taken": {run: {"record": None, "settings": {"epochs": 3, **settings}}}}

    grids = [{"tune": {"draft_size": [10]}}, {"tune": {"draft_size": [10, 20]}}]
    assert alike_records(*(taking("trained_run", **grid) for grid in grids))
    assert not alike_records(*(taking("drafter_run", **grid) for grid in grids))  # a part has what was tuned for it
    assert not alike_records(taking("trained_run"), taking("trained_run", epochs=4))


def test_what_is_no_longer_rendered_goes(leaderboards):
    stale = leaderboards / "tiny" / "tables" / "0123.csv"
    stale.write_text("old")
    render_all(leaderboards)
    assert not stale.exists()


def test_tampering_is_caught_when_rendering(leaderboards):
    path = next((leaderboards / "tiny" / "results").glob("*/SpecGRPP-seed1.json"))
    before = path.read_text()
    for old, new in (('"seed": 1', '"seed": 9'), ("1234.5", "9999.5"), ("run_recbole.py --model", "run_recbole.py -m")):
        path.write_text(before.replace(old, new))
        with pytest.raises(UserError, match=r"SpecGRPP-seed1.json is refused"):
            render_all(leaderboards)
    path.write_text(before)
    np.savez(path.with_suffix(".npz"), rank=np.ones(240, dtype=np.int32))
    with pytest.raises(UserError, match="its ranks say"):
        render_all(leaderboards)


def test_the_readme(leaderboards):
    text = (leaderboards / "tiny" / "README.md").read_text()
    assert text.startswith("# A tiny one\n") and "- Mind this." in text and "**Beside published results**" in text
    for link in re.findall(r"\]\((.+?)\)", text):
        assert (leaderboards / "tiny" / link).is_file()


def test_about_with_an_unknown_key_is_explained(leaderboards):
    (leaderboards / "tiny" / "about.yaml").write_text("titel: x")
    with pytest.raises(UserError, match=r"no key \[titel\].*Did you mean \[title\]"):
        read_about(leaderboards, "tiny")


def test_the_script(tmp_path):
    runs, board = tmp_path / "runs", tmp_path / "leaderboards"
    save_run(runs, make_result(seed=1))
    script = [sys.executable, str(ROOT / "scripts" / "leaderboard.py"), f"--runs={runs}", f"--leaderboards={board}"]

    def call(*words):
        return subprocess.run([*script, *words], capture_output=True, text=True, timeout=120, cwd=tmp_path)

    shown = call("--dataset=tiny", "--format=markdown")
    assert shown.returncode == 0 and "| TIGER | 1 |" in shown.stdout and not board.exists()
    plain = call("--dataset=tiny", "--format=csv")
    (row,) = csv.DictReader(plain.stdout.splitlines())
    assert row["model"] == "TIGER" and float(row["overall Recall@50"]) > 0 and "tiny, protocol" in plain.stderr
    added = call("--collect", str(runs))
    assert added.returncode == 0 and "added" in added.stdout
    save_run(runs, make_result(seed=2))
    both = call("--dataset=tiny", "--format=markdown")
    rows = [line for line in both.stdout.splitlines() if line.startswith("| TIGER | 1 |")]
    assert ["published" in row for row in rows] == [True, False]  # beside each other, and no mean of both
    broken = save_run(runs, make_result("SASRec"))
    record = json.loads((broken / "result.json").read_text())
    (broken / "result.json").write_text(json.dumps({**record, "seed": 7}))
    refused = call("--collect", str(runs))
    assert refused.returncode == 1 and "changed by hand" in refused.stderr and "seed2: added" in refused.stdout
    saved = make_result(seed=2, finished="2099-01-01T00:00:00+0000", settings={"epochs": 9})
    other = save_run(tmp_path / "others", saved)
    alone = call("--collect", str(other))
    assert alone.returncode == 1 and "[epochs] was 5, now it is 9" in alone.stderr
    asked = call("--collect", str(other), "--replace")
    assert asked.returncode == 0 and "replaced an older one of other settings: [epochs] was 5" in asked.stdout
    missing, nothing = call("--dataset=tinny"), call()
    assert missing.returncode == 2 and "no result of [tinny]" in missing.stderr and "mean [tiny]?" in missing.stderr
    assert nothing.returncode == 2 and "say what to do" in nothing.stderr


# ---- reproduction ----------------------------------------------------------------------------------------------------


def test_commands_are_without_this_machine():
    record = make_result().record
    for words in (
        "run_recbole.py --model=TIGER --dataset=tiny --seed=3 --epochs=5",
        "/there/run_recbole.py --model=TIGER --dataset=tiny --seed=3 --epochs 5 --runs_path=/x --show_progress=False",
        "run_recbole.py -m TIGER -d tiny --seed=3 --epochs=5 --resume=runs/x --backbone_run=runs/y --data_path=z",
    ):
        found = command_of({**record, "command": words})
        assert found == "python run_recbole.py --model=TIGER --dataset=tiny --seed=3 --epochs=5"
    kept = "run_recbole.py --model=TIGER --dataset=tiny --preset=paper --strict=false"
    assert command_of({**record, "command": f"{kept} --gpu_id=1"}) == f"python {kept} --epochs=5", "of the record"
    nested = command_of({**record, "command": "run_recbole.py --model=TIGER '--topk=[10, 50]' --tokenizer.levels=2"})
    assert nested == "python run_recbole.py --model=TIGER --dataset=tiny '--topk=[10, 50]' --tokenizer.levels=2"


def test_commands_make_the_run_as_it_was_where_files_say_something_else_today(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tuned = tmp_path / "properties" / "tuned" / "tiny"
    tuned.mkdir(parents=True)
    had = {"epochs": 5, "learning_rate": 0.003, "dropout": 0.1, "tokenizer": {"levels": 2, "method": "rqvae"}}
    had |= {"tune": {"num_beams": [5, 10]}}

    def command(said: str, words: str = "", model: str = "TIGER", made=(), **more) -> str:
        (tuned / "TIGER.yaml").write_text(said)
        record = make_result(settings={**had, **more}, model=model).record
        words = f"--preset=paper{words}" if words else "--preset=paper"
        found = command_of({**record, "command": f"run_recbole.py --model={model} --dataset=tiny {words}"}, made)
        start = f"python run_recbole.py --model={model} --dataset=tiny --preset=paper"
        assert found.startswith(start)
        return found.removeprefix(start).strip()

    same = "epochs: 5\nlearning_rate: 0.003\ntokenizer: {levels: 2}\nnewer_setting: 1\ntune: {num_beams: [5, 10]}\n"
    assert command(same) == ""
    assert command(same + "dropout_rate: 0.4\n", dropout_rate=0.1) == "--dropout_rate=0.1"
    assert command(same.replace("levels: 2", "levels: 4")) == "--tokenizer.levels=2"
    assert command(same.replace("[5, 10]", "[5]")) == "'--tune.num_beams=[5, 10]'"
    other = same.replace("5\n", "9\n", 1)
    assert command(other, " --epochs=5") == "--epochs=5"
    assert command(other, " --trained_run=runs/x") == "--epochs=5", "the run is no row, so it is trained"
    of_row = command(other.replace("[5, 10]", "[5]"), " --trained_run=runs/x", made=["trained_run"])
    assert of_row == "'--tune.num_beams=[5, 10]'", "how it was trained, the other row's command says"
    # What is no longer there, or what the command gives a part of.
    assert command(same.replace("learning_rate: 0.003\n", "")) == "--learning_rate=0.003"
    of_group = command(same.replace("levels: 2", "levels: 2, codebook_size: 8"), " '--tokenizer={levels: 2}'")
    assert of_group == "'--tokenizer={levels: 2}'", "a member that the record lacks is none of its"
    fewer = {"tokenizer": {"levels": 2, "codebook_size": 16}}
    of_group = command(same.replace("levels: 2", "levels: 2, codebook_size: 8"), " '--tokenizer={levels: 2}'", **fewer)
    assert of_group == "'--tokenizer={levels: 2}' --tokenizer.codebook_size=16"
    # A preset says it for all data, and did so then.
    assert "--epochs=5" in command(same.replace("epochs: 5\n", ""))
    # The backbone's file is below that of SpecGR++; where it is trained by another row, that row has it.
    own = {"backbone": "TIGER", "tune": read_mapping(ROOT / "properties" / "model" / "TIGER_C.yaml")["tune"]}
    assert command(other, model="TIGER_C", **own) == "--epochs=5"
    assert command(other, model="TIGER_C", made=["backbone_run"], **own) == ""
    plain = "run_recbole.py --model=Gone --dataset=tiny"
    assert command_of({**make_result(model="Gone").record, "command": plain}) == f"python {plain}"


def test_a_row_names_the_rows_that_it_takes_parameters_from():
    """By the digests of their records; where a record of version 0.1 has none, by model and seed."""
    tiger = [make_result(model="TIGER", seed=seed) for seed in (1, 2)]
    of_seed_1, elsewhere = {"record": tiger[0].record["digest"], "settings": {}}, {"record": "0" * 64, "settings": {}}
    command = "run_recbole.py --model=TIGER_C --seed={seed} --backbone_run=runs/TIGER/x"

    def taking(model: str, seed: int, **record) -> Result:
        made = make_result(model=model, seed=seed)
        settings = {**made.record["settings"], "backbone": "TIGER"}
        return replace(
            made, record={**made.record, "settings": settings, "command": command.format(seed=seed), **record}
        )

    results = [
        taking("new", 2, taken={"backbone_run": of_seed_1}),
        taking("old", 2),
        taking("gone", 1, taken={"backbone_run": elsewhere}),
    ]
    rows = yaml.safe_load(rows_yaml(summarise([*tiger, *results])))
    assert rows["new-seed2"]["uses"] == {"backbone_run": "TIGER-seed1"}
    assert rows["old-seed2"]["uses"] == {"backbone_run": "TIGER-seed2"}
    (board,) = summarise(
        [replace(tiger[0], record={**tiger[0].record, "command": "/x/run_recbole.py -q --drafter_run"})]
    )
    assert not board.rows[0].used, "a program of one's own with other words"
    assert "uses" not in rows["gone-seed1"] and "uses" not in rows["TIGER-seed1"]
    assert "--backbone_run" not in rows["new-seed2"]["command"]
    for name in ("new-seed2", "old-seed2", "gone-seed1"):
        least = min(expected["tolerance"] for expected in rows[name]["expected"].values())
        assert least == 0.002, "what it takes over is trained, though it is not"


def test_rows_of_every_board_can_be_made_again():
    """The first board's by model and seed, the others' with the protocol in their names, and what each takes from its
    own board."""
    first = [make_result(model=model) for model in ("TIGER", "SASRec")]
    other = make_result(model="TIGER", repeatable=False, left_out="all")
    part = {"backbone_run": {"record": other.record["digest"], "settings": {}}}
    taking = make_result(model="TIGER_C", repeatable=False, left_out="all")
    taking = replace(taking, record={**taking.record, "taken": part})
    boards = summarise([*first, other, taking, make_result(model="DSI")])
    rows = yaml.safe_load(rows_yaml(boards))
    of_other = f"@{other.record['protocol_hash']}"
    names = ["TIGER-seed1", "SASRec-seed1", "DSI-seed1", f"TIGER-seed1{of_other}", f"TIGER_C-seed1{of_other}"]
    assert sorted(rows) == sorted(names) and sorted(list(rows)[3:]) == sorted(names[3:]), "the largest board first"
    assert rows[f"TIGER_C-seed1{of_other}"]["uses"] == {"backbone_run": f"TIGER-seed1{of_other}"}
    assert rows[f"TIGER-seed1{of_other}"]["protocol"] == other.record["protocol_hash"]
    assert find_row(rows, "TIGER") == "TIGER-seed1" and find_row(rows, names[4]) == names[4]
    assert find_row(rows, "TIGER_C") == names[4], "a model that only another board has"


def test_a_row_of_an_older_rule_says_so_and_is_not_made_again(tmp_path, monkeypatch, capsys):
    older = make_result(model="TIGER", repeatable=False, max_item_list_length=20)
    newer = make_result(model="TIGER", repeatable=False, left_out="all that the user has had")
    rows = yaml.safe_load(rows_yaml(summarise([make_result(model="TIGER"), older, newer])))
    says = {name.partition("@")[2]: row.get("older") for name, row in rows.items()}
    assert says.pop(older.record["protocol_hash"]).startswith("its lists leave out the last 20 items")
    assert set(says.values()) == {None}
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "rows.yaml").write_text(yaml.safe_dump(rows))
    name = f"TIGER-seed1@{older.record['protocol_hash']}"
    with pytest.raises(UserError, match=rf"{name} can't be made again by this version: its lists .* at commit"):
        reproduce([name, "--dataset=tiny", f"--leaderboards={tmp_path}", f"--runs={tmp_path / 'runs'}"])
    assert not (tmp_path / "runs").exists()
    made = []
    monkeypatch.setattr("recbole_specgr.commands.reproduce._Remaking.holds", lambda _, name: made.append(name) or True)
    assert reproduce(["--all", "--dataset=tiny", f"--leaderboards={tmp_path}"]) == 0
    assert made == [row for row in rows if row != name] and "Left out: 1 rows" in capsys.readouterr().out
    assert reproduce(["--list", "--dataset=tiny", f"--leaderboards={tmp_path}"]) == 0
    assert capsys.readouterr().out.count("# older: its lists leave out") == 1


def test_seeds_made_of_other_runs_are_not_averaged():
    def made_of(seed: int, epochs: int) -> Result:
        result = make_result(model="SpecGR_Aux", seed=seed)
        taken = {"drafter_run": {"record": None, "settings": {"epochs": epochs}}}
        return replace(result, record={**result.record, "taken": taken})

    def seeds(*results: Result) -> list[list[int]]:
        (board,) = summarise([], results)
        return sorted([result.record["seed"] for result in row.results] for row in board.rows)

    assert seeds(made_of(1, 30), made_of(2, 30)) == [[1, 2]]
    assert seeds(made_of(1, 1), made_of(2, 30)) == [[1], [2]]
    assert seeds(make_result(model="SpecGR_Aux", seed=1), made_of(2, 30)) == [[1, 2]], "one that does not say"


def test_rows_and_their_tolerances(board):
    rows = yaml.safe_load(rows_yaml([board]))
    row = rows["SpecGRPP-seed2"]
    assert row["protocol"] == board.record["protocol_hash"] and row["command"].startswith("python run_recbole.py")
    value = row_of(board, "SpecGRPP").values["recall@50"]
    assert row["expected"]["recall@50"]["tolerance"] == pytest.approx(2 * value.deviation, abs=1e-5)
    assert find_row(rows, "SpecGRPP") == "SpecGRPP-seed1" and find_row(rows, "TIGER-seed3") == "TIGER-seed3"
    with pytest.raises(UserError, match=r"no row \[TIGRE-seed3\].*Did you mean \[TIGER-seed3\]"):
        find_row(rows, "TIGRE-seed3")


def test_a_run_is_held_against_its_row(leaderboards, tmp_path):
    row = read_rows(leaderboards, "tiny")["SpecGRPP-seed1"]
    group, good, unseen = MODELS["SpecGRPP"]
    same = saved(tmp_path / "same", model="SpecGRPP", good=good, unseen_good=unseen, group=group)
    assert all(comparison.ok for comparison in compare(row, same.source))
    worse = saved(tmp_path / "worse", model="SpecGRPP", good=0.1, unseen_good=0.0, group=group)
    failed = [str(comparison) for comparison in compare(row, worse.source) if not comparison.ok]
    assert any(line.startswith("[FAIL] recall@50: ") and "expected" in line for line in failed)
    other = saved(tmp_path / "other", model="SpecGRPP", fingerprint="g")
    with pytest.raises(UserError, match="its data"):
        compare(row, other.source)


def test_the_rows_that_a_row_uses_are_made_first_and_once(tmp_path, monkeypatch, capsys):
    protocol = make_result().record["protocol_hash"]
    row = {"protocol": protocol, "expected": {}}
    matrix = {
        "TIGER-seed1": {"command": "python run_recbole.py --model=TIGER --seed=1", **row},
        "TIGER_C-seed1": {
            "command": "python run_recbole.py --model=TIGER_C --seed=1",
            "uses": {"backbone_run": "TIGER-seed1"},
            **row,
        },
    }
    (tmp_path / "leaderboards" / "tiny").mkdir(parents=True)
    (tmp_path / "leaderboards" / "tiny" / "rows.yaml").write_text(yaml.safe_dump(matrix))
    commands = []

    def train(words):
        given = dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)
        folder = save_run(Path(given["runs_path"]), make_result(model=given["model"]))
        commands.append({**given, "made": str(folder)})
        return 0

    monkeypatch.setattr("recbole_specgr.commands.reproduce.run_child", train)
    places = ["--dataset=tiny", f"--leaderboards={tmp_path / 'leaderboards'}", f"--runs={tmp_path / 'runs'}"]
    assert reproduce(["TIGER_C-seed1", "TIGER-seed1", *places]) == 0
    assert [command["model"] for command in commands] == ["TIGER", "TIGER_C"]
    assert commands[1]["backbone_run"] == commands[0]["made"] and "backbone_run" not in commands[0]
    monkeypatch.setattr("recbole_specgr.commands.reproduce.run_child", lambda words: 1)
    assert reproduce(["TIGER_C-seed1", *places]) == 1
    assert "TIGER_C-seed1 takes parameters from TIGER-seed1, which could not be made" in capsys.readouterr().out


def test_a_row_is_made_again(tmp_path):
    """A real run from its row: popularity on ml-100k, which takes seconds."""
    command = [sys.executable, str(ROOT / "run_recbole.py"), "--model=MostPop", "--dataset=ml-100k"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    script = [sys.executable, str(ROOT / "scripts" / "leaderboard.py"), "--collect", "runs", "--all"]
    subprocess.run(script, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    rows = tmp_path / "leaderboards" / "ml-100k" / "rows.yaml"
    again = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "MostPop", "--dataset=ml-100k"]
    good = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert good.returncode == 0 and good.stdout.count("[OK]") == 8, good.stdout + good.stderr
    wrong = yaml.safe_load(rows.read_text())
    wrong["MostPop-seed2026"]["expected"]["recall@50"]["score"] += 0.01
    rows.write_text(yaml.safe_dump(wrong))
    bad = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert bad.returncode == 1 and "[FAIL] recall@50" in bad.stdout and bad.stdout.count("[OK]") == 7
    assert resolve("MostPop").name == "MostPop"


def test_the_committed_leaderboards_are_rendered_from_their_records(tmp_path):
    """Whoever changes a record or how it is drawn renders anew."""
    committed = ROOT / "leaderboards"
    if not (committed / "index.html").is_file():
        pytest.skip("no leaderboard is committed")
    shutil.copytree(committed, tmp_path / "leaderboards")
    render_all(tmp_path / "leaderboards")
    assert contents(tmp_path / "leaderboards") == contents(committed)


def test_the_docs_way_to_a_new_row(tmp_path, monkeypatch):
    """docs/leaderboard.md: a new baseline file, and two commands to its row with its interval."""
    page = (ROOT / "docs" / "leaderboard.md").read_text()
    baseline = re.search(r"```yaml\n# (baselines/.+?)\n(.*?)```", page, re.DOTALL)
    commands = re.search(r"```bash\n(python run_recbole.*?)```", page, re.DOTALL)[1].splitlines()
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "baselines").mkdir()
    (tmp_path / baseline[1]).write_text(baseline[2])
    assert len(commands) == 2
    for command in commands:
        _, script, *words = command.split()
        done = subprocess.run(
            [sys.executable, str(ROOT / script), *words], cwd=tmp_path, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("Popular last week")]
    assert len(rows) == 2 and re.search(r"0\.\d{4} to 0\.\d{4}", rows[1])


def test_the_docs_name_every_study_and_a_study_that_works(tmp_path, monkeypatch):
    page = (ROOT / "docs" / "leaderboard.md").read_text()
    for name in list_studies():
        assert f"`{name}`" in page
    (text,) = re.findall(r"```yaml\n(title:.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "properties" / "study").mkdir(parents=True)
    (tmp_path / "properties" / "study" / "mine.yaml").write_text(text)
    study = read_study("mine")
    assert len(list(study.setups())) == 6
    for _, target in re.findall(r"\[(.+?)\]\((.+?)\)", page):
        assert (ROOT / "docs" / target).is_file()
