"""One way to rank any model: what may stand in its lists, and that settings hold for models with scores and lists."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from torch import Tensor

from recbole_specgr.evaluation.ranking import scores_without
from recbole_specgr.models.contract import (
    ModelContract,
    RankedList,
    RanksByList,
    ScoresItems,
    Users,
    adapted,
    lists_without,
)
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.quick_start import run_recbole

N = 12
SEEN = torch.tensor([False] + [True] * 7 + [False] * 4)
ALL = torch.ones(N, dtype=torch.bool)  # the padding item among them


def users(*histories: list[int], before: Sequence[list[int]] | None = None) -> Interaction:
    """A batch; `before` is what each user had before the history that is read."""
    earlier = [[*more, *history] for more, history in zip(before or [[]] * len(histories), histories, strict=True)]
    lengths = torch.tensor([len(history) for history in histories])
    return Interaction(
        {"item_id_list": table(histories), "item_length": lengths, "earlier_item_id_list": table(earlier)}
    )


def table(lists: Sequence[list[int]]) -> Tensor:
    longest = max(map(len, lists))
    return torch.tensor([items + [0] * (longest - len(items)) for items in lists])


class Fake:
    """Prefers items whose number is near the sum of the history's."""

    ITEM_SEQ, ITEM_SEQ_LEN, n_items = "item_id_list", "item_length", N

    def scores(self, interaction: Interaction) -> Tensor:
        total = interaction["item_id_list"].sum(1, keepdim=True)
        return -(torch.arange(N) - total % N).abs().float()


class WithScores(Fake, ScoresItems):
    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        return self.scores(interaction).flatten()  # RecBole's models give them flat, too


class WithLists(Fake, RanksByList):
    def full_sort_topk(self, interaction: Interaction, k: int, candidates: Tensor) -> Tensor:
        order = self.scores(interaction).masked_fill(~candidates, -torch.inf).sort(dim=1, descending=True, stable=True)
        ranked = order.indices.masked_fill(order.values == -torch.inf, -1)[:, :k]
        return torch.nn.functional.pad(ranked, (0, k - ranked.size(1)), value=-1)


def brute_force(
    history: list[int],
    k: int,
    inductive: bool,
    unseen_history: str,
    repeatable: bool,
    before: Sequence[int] = (),
) -> list[int]:
    read = history
    if not inductive and unseen_history == "drop":
        read = [item for item in history if SEEN[item]] or history
    allowed = [item for item in range(1, N) if inductive or SEEN[item]]
    if not repeatable:
        allowed = [item for item in allowed if item not in history and item not in before]
    ranked = sorted(allowed, key=lambda item: (abs(item - sum(read) % N), item))[:k]
    return ranked + [-1] * (k - len(ranked))


HISTORIES = [[3, 9], [8], [1, 2, 3, 4, 5], [10, 11, 7], [6]]
BEFORE: list[list[int]] = [[4], [7, 1], [], [5, 6, 9], []]  # what the same users had before that


@pytest.mark.parametrize("kind", [WithScores, WithLists])
@pytest.mark.parametrize("inductive", [True, False])
@pytest.mark.parametrize("unseen_history", ["keep", "drop"])
@pytest.mark.parametrize("repeatable", [True, False])
def test_lists_are_those_of_a_loop(kind, inductive, unseen_history, repeatable):
    model = kind()
    model.inductive = inductive
    ranked = Ranker(model, SEEN, unseen_history, repeatable).rank(users(*HISTORIES, before=BEFORE), 6, ALL)
    rules = inductive, unseen_history, repeatable
    expected = [brute_force(history, 6, *rules, before) for history, before in zip(HISTORIES, BEFORE, strict=True)]
    assert ranked.items.tolist() == expected


def test_scores_are_those_of_what_the_model_reads():
    model, batch = WithScores(), users(*HISTORIES)
    items = torch.tensor([[1, 8, -1]] * len(HISTORIES))
    candidates = ALL.clone()
    candidates[2] = False
    ranker = Ranker(model, SEEN, "drop")
    read = users(*([item for item in history if SEEN[item]] or history for history in HISTORIES))
    raw = model.scores(read)
    assert torch.equal(ranker.score_all(batch), raw.masked_fill(~SEEN, -torch.inf))
    given = ranker.score_items(batch, items, candidates)
    assert torch.equal(given[:, 0], raw[:, 1]) and (given[:, 1:] == -torch.inf).all()
    assert torch.equal(ranker.score_candidates(batch, candidates), raw.masked_fill(~(SEEN & candidates), -torch.inf))
    lists = Ranker(WithLists(), SEEN, "drop")
    assert lists.score_all(batch) is lists.score_items(batch, items, ALL) is lists.score_candidates(batch, ALL) is None


class WithSettings(WithScores):
    def __init__(self) -> None:
        self.decoding = {"sign": 1}
        self.encoded = 0

    def encode_users(self, interaction: Interaction) -> Users:
        self.encoded += 1
        return super().encode_users(interaction)

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        scores = users.once("scores", lambda: self.score_all(users.interaction))
        scores = (self.decoding["sign"] * scores).masked_fill(~candidates, -torch.inf)
        return RankedList.unscored(scores.topk(k).indices)


def test_several_settings_encode_the_users_once():
    model = WithSettings()
    ranker = Ranker(model, SEEN, "drop")
    alone = []
    for sign in (1, -1):
        model.decoding["sign"] = sign
        alone.append(ranker.rank(users([3], [5]), 4, ALL).items)
    model.encoded = 0
    points = [{"sign": 1}, {"sign": -1}]
    together = [ranked.items for ranked in ranker.rank_at(points, users([3], [5]), 4, ALL)]
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))
    assert model.encoded == 1 and not torch.equal(*together)


def test_a_list_that_breaks_the_rules_is_an_error():
    model = WithLists()
    model.full_sort_topk = lambda interaction, k, candidates: torch.tensor([[1, 8, 2]])
    with pytest.raises(ValueError, match="not a candidate"):
        Ranker(model, SEEN, "keep").rank(users([3]), 3, ALL)
    model.inductive = True
    assert Ranker(model, SEEN, "keep").rank(users([3]), 3, ALL).items.tolist() == [[1, 8, 2]]


def test_what_the_history_holds_leaves_no_gap():
    ranked = RankedList(
        torch.tensor([[4, 2, 7, 1], [5, 6, -1, -1]]),
        torch.tensor([[9.0, 8.0, 7.0, 6.0], [5.0, 4.0, -torch.inf, -torch.inf]]),
        torch.tensor([[0, 1, -1, 2], [0, 0, -1, -1]]),
    )
    left = ranked.without(torch.tensor([[2, 7, 0], [6, 3, 5]]), 3)
    assert left.items.tolist() == [[4, 1, -1], [-1, -1, -1]]
    assert left.scores.tolist() == [[9.0, 6.0, -torch.inf], [-torch.inf] * 3]
    assert left.round_of.tolist() == [[0, 2, -1], [-1, -1, -1]]


@pytest.mark.parametrize("repeatable", [True, False])
@pytest.mark.parametrize("model_class", [WithScores, WithLists])
def test_what_is_left_out_of_each_users_list(model_class, repeatable):
    """Beside the history where that may not be recommended again."""
    out = [[1, 0, 0], [9, 8, 7], [0, 0, 0], [6, 3, 0], [11, 0, 0]]
    ranker = Ranker(model_class(), SEEN, "keep", repeatable)
    found = ranker.rank(users(*HISTORIES), 4, ALL, torch.tensor(out)).items.tolist()
    for history, left_out, items in zip(HISTORIES, out, found, strict=True):
        ranked = brute_force(history, N, False, "keep", repeatable)
        expected = [item for item in ranked if item > 0 and item not in left_out][:4]
        assert items == expected + [-1] * (4 - len(expected))


class InPlace(WithScores):
    """A list of two halves: its best, then its worst."""

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        return self.rank_without(users, k, candidates, users.interaction["item_id_list"][:, :0])

    def rank_without(self, users: Users, k: int, candidates: Tensor, left_out: Tensor) -> RankedList:
        everything = super().rank_users(users, N - 1, candidates).without(left_out, N - 1).items
        worst_first = [[item for item in row if item > 0][::-1] for row in everything.tolist()]
        return RankedList.unscored(torch.tensor([row[::-1][: k - k // 2] + row[: k // 2] for row in worst_first]))


def test_a_list_of_two_halves_keeps_both_without_what_is_left_out():
    model, batch, out = InPlace(), users([3, 9]), torch.tensor([[1, 7]])
    assert Ranker(model, SEEN, "keep").rank(batch, 4, ALL).items.tolist() == [[1, 2, 7, 6]]
    assert Ranker(model, SEEN, "keep").rank(batch, 4, ALL, out).items.tolist() == [[2, 3, 6, 5]]
    assert Ranker(model, SEEN, "keep", repeatable=False).rank(batch, 4, ALL, out).items.tolist() == [[2, 4, 6, 5]]


class Reversed(WithScores):
    """Changes `rank_users` alone."""

    def rank_users(self, users: Users, k: int, candidates: Tensor) -> RankedList:
        everything = super().rank_users(users, N - 1, candidates).items
        return RankedList.unscored(torch.tensor([[i for i in row if i > 0][::-1][:k] for row in everything.tolist()]))


def test_a_class_that_changes_lists_has_them_without_what_is_left_out_too():
    model, batch = Reversed(), users([3, 9])
    assert Ranker(model, SEEN, "keep").rank(batch, 7, ALL).items.tolist() == [[7, 6, 5, 4, 3, 2, 1]]
    assert Ranker(model, SEEN, "keep").rank(batch, 3, ALL, torch.tensor([[6, 1]])).items.tolist() == [[7, 5, 4]]


def test_how_far_a_search_goes_depends_on_the_user_alone():
    """And not on who else in the batch has had much."""

    def listed(rows: Tensor, length: int) -> RankedList:
        """Longer lists are others."""
        items = torch.arange(1, length + 1).flip(0).expand(len(rows), -1)
        return RankedList(items, items.float())

    left_out = torch.tensor([[0, 0, 0, 0, 0], [4, 0, 0, 0, 0], [9, 8, 7, 0, 0], [0, 0, 0, 0, 0]])
    together = lists_without(listed, 3, left_out)
    assert together.items.tolist() == [[3, 2, 1], [3, 2, 1], [6, 5, 4], [3, 2, 1]]
    assert torch.equal(together.scores, together.items.float())
    for row in range(4):
        assert torch.equal(lists_without(listed, 3, left_out[row : row + 1]).items[0], together.items[row])
    assert lists_without(listed, 3, left_out[:0]).items.shape == (0, 3)


@pytest.mark.parametrize("first", [0, 3])
def test_scores_without_some_items_are_those_of_a_loop(first):
    scores = torch.arange(12.0).view(2, 6)
    left_out = torch.tensor([[0, 3, 8, 5], [9, 4, 4, 0]])
    expected = [
        [-torch.inf if item in without else score for item, score in enumerate(row, first)]
        for row, without in zip(scores.tolist(), left_out.tolist(), strict=True)
    ]
    assert scores_without(scores, left_out, first).tolist() == expected
    assert scores_without(scores, None) is scores and scores.tolist() == torch.arange(12.0).view(2, 6).tolist()


def test_a_class_that_is_only_recboles_gets_the_defaults():
    class Plain(SequentialRecommender):
        def full_sort_predict(self, interaction):
            return interaction

    class Lists(SequentialRecommender):
        def full_sort_topk(self, interaction, k, candidates):
            return interaction

    for plain, way in ((Plain, ScoresItems), (Lists, RanksByList)):
        model_class = adapted(plain)
        assert issubclass(model_class, way) and issubclass(model_class, ModelContract) and adapted(plain) is model_class
        assert (model_class.__name__, model_class.inductive, dict(model_class.decoding)) == (plain.__name__, False, {})
    assert adapted(Lists).full_sort_topk is Lists.full_sort_topk


T5 = {"d_model": 16, "d_ff": 16, "num_layers": 1, "num_heads": 2, "num_beams": 5}
T5 |= {"tokenizer": {"method": "rqkmeans", "codebook_size": 8, "levels": 2}}


@pytest.mark.parametrize("model", ["SASRec", "TIGER"])
def test_lists_without_the_history_are_another_protocol(model, tiny_dataset, tmp_path):
    settings = {**tiny_dataset, "runs_path": str(tmp_path), "epochs": 0, "topk": [5], "valid_metric": "NDCG@5"}
    settings |= {"hidden_size": 8, "inner_size": 8} if model == "SASRec" else T5
    runs = [run_recbole(model, "tiny", config_dict={**settings, "repeatable": value}) for value in (True, False)]
    protocols = [run["record"]["protocol"] for run in runs]
    rule = {"repeatable": False, "left_out": "all that the user has had"}
    assert "repeatable" not in protocols[0] and protocols[1] == {**protocols[0], **rule}


def test_a_list_without_some_items_is_as_long_as_was_asked_for():
    """Also where the list that it is taken from is shorter than that."""
    listed = RankedList(torch.tensor([[5, 3, 9]]), torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[0, -1, 1]]))
    found = listed.without(torch.tensor([[3, 0]]), 5)
    assert found.items.tolist() == [[5, 9, -1, -1, -1]] and found.round_of.tolist() == [[0, 1, -1, -1, -1]]
    assert found.scores.tolist() == [[pytest.approx(0.9), pytest.approx(0.1), *[-torch.inf] * 3]]
