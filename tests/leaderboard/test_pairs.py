"""Rows held against each other, two at a time."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from leaderboard_records import make_result, row_of, some_results
from scipy.stats import permutation_test

from recbole_specgr.commands.command_line import main
from recbole_specgr.leaderboard.archive import collect
from recbole_specgr.leaderboard.pairs import named_pairs, pairs_against, pairs_table
from recbole_specgr.leaderboard.render import render_all
from recbole_specgr.leaderboard.summary import summarise
from recbole_specgr.system.errors import UserError


@pytest.fixture(scope="module")
def board():
    (found,) = summarise(some_results())
    return found


def cells(table, line: int) -> dict[str, float | None]:
    return {column.full_title: cell.value for column, cell in zip(table.columns, table.rows[line])}


def test_a_pair_is_compared_as_scipy_compares_it(board):
    pair = (row_of(board, "SpecGR_Aux"), row_of(board, "TIGER"))
    ranks = [np.stack([result.ranks["rank"] for result in row.results]) for row in pair]
    hits = [(rank > 0) & (rank <= 50) for rank in ranks]
    worth = {
        "Recall@50": [hit.mean(0) for hit in hits],
        "NDCG@50": [np.where(hit, 1 / np.log2(np.maximum(rank, 1) + 1), 0).mean(0) for hit, rank in zip(hits, ranks)],
    }
    unseen, user = pair[0].results[0].ranks["unseen"], pair[0].results[0].ranks["user"]
    parts = {"overall": np.ones(240, bool), "in-sample": ~unseen, "unseen": unseen}
    raw = {}
    for metric, (ours, theirs) in worth.items():
        for part, chosen in parts.items():
            of_users = [((ours - theirs) * chosen)[user == one].sum() for one in np.unique(user)]
            test = permutation_test(
                (of_users,), np.sum, permutation_type="samples", n_resamples=50_000, rng=np.random.default_rng(1)
            )
            raw[metric, part] = test.pvalue
    adjusted = dict(zip(raw, corrected(list(raw.values()))))
    table = pairs_table(board, [pair])
    for line in range(2):
        found = cells(table, line)
        for part in parts:
            assert found[f"{part} p"] == pytest.approx(adjusted[table.rows[line][2].text, part], abs=0.02)


def corrected(p_values: list[float]) -> list[float]:
    """Holm's correction, written down as its definition says."""
    order = np.argsort(p_values)
    return [
        max(min(1.0, p_values[other] * (len(p_values) - place)) for place, other in enumerate(order[: where + 1]))
        for where in map(int, np.argsort(order))
    ]


def test_the_change_is_that_of_the_means(board):
    table = pairs_table(board, [(row_of(board, "SpecGRPP"), row_of(board, "Mine"))])
    assert [table.rows[0][place].text for place in range(3)] == ["SpecGR++", "Mine", "NDCG@50"]
    for line, metric in enumerate(("ndcg", "recall")):
        for part, title in (("", "overall"), ("in_sample_", "in-sample"), ("unseen_", "unseen")):
            ours, theirs = (row_of(board, model).values[f"{part}{metric}@50"].mean for model in ("SpecGRPP", "Mine"))
            assert cells(table, line)[f"{title} %"] == pytest.approx(100 * (ours / theirs - 1))
    nothing = pairs_table(board, [(row_of(board, "SpecGRPP"), row_of(board, "TIGER"))])
    assert cells(nothing, 0)["unseen %"] is None  # TIGER finds none
    (tiny,) = summarise([make_result("TIGER", 1, 0.5, 0.02), make_result("LIGER", 1, 0.5, 0.9)])
    much = pairs_table(tiny, [(row_of(tiny, "LIGER"), row_of(tiny, "TIGER"))])
    assert cells(much, 1)["unseen %"] > 999 and "> +999" in [cell.text for cell in much.rows[1]]


def test_more_pairs_make_every_p_value_larger(board):
    pair = (row_of(board, "SpecGR_Aux"), row_of(board, "TIGER"))
    alone = pairs_table(board, [pair])
    both = pairs_table(board, [pair, (row_of(board, "TIGER"), row_of(board, "TIGER"))])
    for title in ("overall p", "in-sample p", "unseen p"):
        assert cells(both, 0)[title] >= cells(alone, 0)[title]
        assert cells(both, 2)[title] == 1.0  # a model does not differ from itself


def test_pairs_are_named_by_model_and_left_out_where_a_board_lacks_one(board):
    found = named_pairs(board, {"SpecGRPP": ["TIGER", "SASRec"], "LIGER": ["TIGER"]})
    assert [(row.model, other.model) for row, other in found] == [("SpecGRPP", "TIGER")]
    assert pairs_table(board, []) is None


def test_every_row_against_one(board):
    ((of, table),) = pairs_against([board], "TIGER")
    assert of is board
    names = [row.name for row in board.rows if row.model != "TIGER"]
    assert [line[0].text for line in table.rows] == [name for name in names for _ in range(2)]
    with pytest.raises(UserError, match=r"\[--against=TIGR\].*Did you mean \[TIGER\]"):
        pairs_against([board], "TIGR")


def test_a_run_of_ones_own_changes_no_published_p_value():
    published = some_results()
    (alone,) = summarise(published)
    (beside,) = summarise(published, [make_result("Another", 1, 0.5, 0.02)])
    ((_, before),), ((_, after),) = pairs_against([alone], "TIGER"), pairs_against([beside], "TIGER")
    kept = [[cell.text for cell in line] for line in after.rows if "mine" not in line[0].text]
    assert kept == [[cell.text for cell in line] for line in before.rows] and len(after.rows) > len(kept)
    assert "a run of yours" in after.caption and "a run of yours" not in before.caption


def test_a_row_is_named_as_tables_call_it(board):
    ((_, by_model),), ((_, by_name),) = pairs_against([board], "SpecGRPP"), pairs_against([board], "SpecGR++")
    assert [[cell.text for cell in line] for line in by_name.rows] == [
        [cell.text for cell in line] for line in by_model.rows
    ]


def test_boards_and_command_show_them(tmp_path, capsys):
    leaderboards = tmp_path / "leaderboards"
    list(collect(some_results(), leaderboards))
    about = leaderboards / "tiny" / "about.yaml"
    about.write_text(yaml.safe_dump({"compare": {"SpecGRPP": ["TIGER"]}}))
    render_all(leaderboards)
    assert "| SpecGR++ | TIGER | NDCG@50 |" in (leaderboards / "tiny" / "README.md").read_text()
    assert "<summary>Pairs</summary>" in (leaderboards / "index.html").read_text()
    words = ["leaderboard", "--dataset=tiny", f"--leaderboards={leaderboards}", f"--runs={tmp_path / 'runs'}"]
    assert main([*words, "--against=SpecGRPP", "--format=markdown"]) == 0
    assert "| FDSA | SpecGR++ | Recall@50 |" in capsys.readouterr().out
    assert main([*words, "--against=SpecGR"]) == 2 and "SpecGRPP" in capsys.readouterr().err
    for text, words in (
        ("compare: {SpecGRPP: [TIGR]}", r"names \[TIGR\], of which there is no result.*\[TIGER\]"),
        ("compare: {SpecGRPP: TIGER}", r"must map models to lists of models"),
        ("compare: TIGER", r"must map models to lists of models"),
    ):
        about.write_text(text)
        with pytest.raises(UserError, match=rf"about\.yaml.*{words}"):
            render_all(leaderboards)


def test_a_run_of_ones_own_is_held_against_a_published_row():
    boards = summarise(some_results(), [make_result("Mine2", 7, 0.5, 0.2)])
    ((_, table),) = pairs_against(boards, "TIGER")
    assert any("Mine2, mine, " in line[0].text for line in table.rows)
