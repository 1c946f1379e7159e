"""A user's class that ranks by what it must not know, or returns what is no table of scores, is found out."""

from __future__ import annotations

from typing import Any

import pytest

from recbole_specgr.quick_start import run_recbole
from recbole_specgr.system.errors import UserError

CLASS = """
import torch
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType


class Mine(SequentialRecommender):
    inductive = True
    input_type = InputType.POINTWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        generator = torch.Generator().manual_seed(1)
        self.register_buffer("table", torch.randn(1, self.n_items, generator=generator))

    def full_sort_predict(self, interaction):
        users = len(interaction)
        return {answer}
"""


@pytest.fixture
def ranked(tiny_dataset, tmp_path):
    """What a class whose `full_sort_predict` returns `answer` gets on test."""
    folder = tmp_path / "baselines"
    folder.mkdir()

    def run(name: str, answer: str) -> dict[str, Any]:
        (folder / f"{name.lower()}.py").write_text(CLASS.replace("Mine", name).replace("{answer}", answer))
        (folder / f"{name}.yaml").write_text(f"base: {name.lower()}:{name}\n")
        settings = {
            **tiny_dataset,
            "topk": [5, 10],
            "valid_metric": "NDCG@10",
            "launch_holdout": {"share": 0.4, "seed": 1},
        }
        return run_recbole(name, "tiny", config_dict={**settings, "show_progress": False})["test_result"]

    return run


def test_scores_that_the_model_keeps_stay_as_they_are(ranked):
    """Valid must not rank items that are launched later; test must, and by the scores that the model has for them."""
    fresh = ranked("Fresh", "self.table.repeat(users, 1)")
    assert fresh["unseen_recall@10"] > 0
    assert ranked("Kept", "self.table.expand(users, -1)") == fresh
    assert ranked("Flat", "self.table.repeat(users, 1).flatten()") == fresh


def test_whole_numbers_are_scores(ranked):
    counts = "(1000 * self.table).round().repeat(users, 1)"
    assert ranked("Whole", f"{counts}.long()") == ranked("Float", counts)


@pytest.mark.parametrize(
    ("name", "answer", "says"),
    [
        ("Across", "self.table.repeat(users, 1).T", r"returned \[81, (\d+)\] for \1 users"),
        ("Short", "self.table[:, 1:].repeat(users, 1)", r"gives scores of 80 items. Wanted are those of all 81"),
        ("Odd", "self.table.repeat(users, 1).flatten()[1:]", r"returned \[\d+\] for \d+ users"),
    ],
)
def test_what_is_no_table_of_scores_is_refused(ranked, name, answer, says):
    with pytest.raises(UserError, match=f"full_sort_predict of {name} {says}"):
        ranked(name, answer)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("Chance", "torch.nn.functional.dropout(self.table.repeat(users, 1))"),
        (
            "Company",
            "self.table.roll(int(interaction[self.ITEM_SEQ].sum()), 1).repeat(users, 1)",
        ),
    ],
)
def test_lists_that_depend_on_more_than_their_user_are_said(ranked, caplog, name, answer):
    ranked(name, answer)
    assert f"{name} ranks by chance, or by who else is asked" in caplog.text
    caplog.clear()
    ranked("Steady", "self.table.repeat(users, 1)")
    assert "by chance" not in caplog.text


PAIRWISE = """
import torch
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.model.loss import BPRLoss
from recbole.utils import InputType


class Pairs(SequentialRecommender):
    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.items = torch.nn.Embedding(self.n_items, 8)
        self.loss = BPRLoss()

    def of_user(self, interaction):
        last = interaction[self.ITEM_SEQ_LEN] - 1
        return self.items(interaction[self.ITEM_SEQ].gather(1, last[:, None])[:, 0])

    def calculate_loss(self, interaction):
        user = self.of_user(interaction)
        positive, negative = (self.items(interaction[field]) for field in (self.POS_ITEM_ID, self.NEG_ITEM_ID))
        return self.loss((user * positive).sum(-1), (user * negative).sum(-1))

    def full_sort_predict(self, interaction):
        return self.of_user(interaction) @ self.items.weight.T
"""


def test_a_class_that_learns_from_pairs_gets_negatives(tiny_dataset, tmp_path):
    folder = tmp_path / "baselines"
    folder.mkdir()
    (folder / "pairs.py").write_text(PAIRWISE)
    (folder / "Pairs.yaml").write_text("base: pairs:Pairs\nepochs: 12\nlearning_rate: 0.05\n")
    result = run_recbole("Pairs", "tiny", config_dict={**tiny_dataset, "show_progress": False})
    (stage,) = result["record"]["training"].values()
    losses = [epoch["loss"] for epoch in stage["history"]]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("field", ["self.ITEM_ID", "'title'"])
def test_the_target_is_not_among_what_is_read(ranked, field):
    with pytest.raises(
        UserError, match=r"Peeking reads \[(item_id|title)\] while it ranks. There it would be the targ"
    ):
        ranked("Peeking", f"self.table.repeat(users, 1) + 0 * interaction[{field}].flatten()[0]")
