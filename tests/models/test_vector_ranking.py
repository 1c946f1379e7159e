"""Ranking a stretch of the catalogue at a time gives the lists of ranking all scores; an index, its recall."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_runs import TINY_T5
from training_cases import NARROW

import recbole_specgr.evaluation.ranking as ranking
from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.evaluation.ranking import rank_blocks, rank_scores
from recbole_specgr.models.item_tables import NewItems, with_items, without_items
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.quick_start import run_recbole
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

DENSE = ["UniSRec", "SASRec_T", "TextSASRec", "SemanticKNN"]


@pytest.mark.parametrize("size", [1, 7, 30, 1000])
@pytest.mark.parametrize("k", [1, 10, 40])
def test_blocks_of_any_size_give_the_list_of_all_scores(size, k, monkeypatch):
    rng = np.random.default_rng(0)
    table = torch.from_numpy(rng.integers(4, size=(5, 33)).astype(np.float32))  # nearly all are tied
    table[:, 20:25] = -torch.inf
    allowed = torch.from_numpy(rng.random(33) < 0.7)
    expected = [
        sorted((i for i in range(33) if allowed[i] and row[i] > -torch.inf), key=lambda i, row=row: (-row[i], i))[:k]
        for row in table
    ]
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", size * len(table))
    widths: list[int] = []

    def scores_of(items: slice) -> torch.Tensor:
        widths.append(items.stop - items.start)
        return table[:, items].clone()

    items, scores = rank_blocks(scores_of, len(table), k, allowed)
    assert items.tolist() == [row + [-1] * (k - len(row)) for row in expected]
    assert torch.equal(items, rank_scores(table.clone(), k, allowed))
    assert torch.equal(scores, table.gather(1, items.clamp(min=0)).masked_fill(items < 0, -torch.inf))
    assert max(widths) == min(size, 33) and sum(widths) == 33


def prepared(name: str, settings: dict, **more):
    """The model in float64, where products do not depend on their shape up to float32, a ranker and a batch."""
    narrow = {} if name in ("SemanticKNN", "ItemCoCount", "Recformer", "HSTU", "TextHSTU") else NARROW
    config = Config(name, "tiny", config_dict={**settings, **narrow, **more})
    torch.manual_seed(0)
    train, _, test = InductiveDataset(config).build()
    model = model_of(config, train).double().eval()
    return model, Ranker(model, test.seen, "drop"), test[torch.arange(len(test))], test.candidates


@pytest.mark.parametrize("name", [*DENSE, "SASRec", "ItemCoCount"])
def test_lists_do_not_depend_on_how_many_scores_fit(name, tiny_dataset, monkeypatch):
    _, ranker, batch, candidates = prepared(name, tiny_dataset)
    whole = ranker.rank(batch, 20, candidates)
    plain = rank_scores(ranker.score_all(ranker.as_read(batch)), 20, ranker.rankable(candidates))
    assert torch.equal(whole.items, plain)
    given = ranker.score_items(batch, whole.items, candidates)
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 9 * len(batch))
    blocked = ranker.rank(batch, 20, candidates)
    assert torch.equal(blocked.items, plain)
    torch.testing.assert_close(blocked.scores, whole.scores)
    torch.testing.assert_close(ranker.score_items(batch, whole.items, candidates), given)


@pytest.mark.parametrize("name", ["UniSRec", "TextSASRec", "TextHSTU"])
def test_items_are_brought_to_unit_length_once_for_all_batches(name, tiny_dataset, monkeypatch):
    model, ranker, batch, candidates = prepared(name, tiny_dataset)
    model, normalize = model.float(), F.normalize
    users, table = model.user_vectors(batch), model.item_table()
    monkeypatch.setattr(ranking, "SCORES_AT_ONCE", 9 * len(batch))
    plain = rank_blocks(
        lambda items: users @ normalize(table[items], dim=-1).T / model.temperature, len(batch), 20, candidates
    )
    rows: list[int] = []

    def counting(vectors: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        rows.append(len(vectors))
        return normalize(vectors, *args, **kwargs)

    monkeypatch.setattr(F, "normalize", counting)
    for _ in range(3):
        found = ranker.rank(batch, 20, candidates)
        assert torch.equal(found.items, plain[0]) and torch.equal(found.scores, plain[1])
    assert sorted(rows) == sorted([len(table), *[len(batch)] * 3])


BONUS = ["UniSRec", "SASRec_T", "TextSASRec", "TextHSTU"]


@pytest.mark.parametrize("index", [None, "Flat"])
@pytest.mark.parametrize("name", BONUS)
def test_a_bonus_is_added_to_unseen_items_and_no_others(name, index, tiny_dataset):
    model, ranker, batch, candidates = prepared(name, tiny_dataset)
    with torch.no_grad():
        plain = ranker.score_all(batch).numpy().copy()
    unseen = ~ranker.seen.numpy()
    assert (unseen & candidates.numpy()).any()
    model.ranking_index = index
    for bonus in (0.7, -0.3, 20.0, 0.0):  # an index is made anew for each
        model.decoding["unseen_bonus"] = bonus
        scores = np.where(candidates.numpy(), plain + bonus * unseen, -np.inf)
        found = ranker.rank(batch, 20, candidates)
        expected = -np.sort(-scores, axis=1)[:, :20]
        tolerance = 1e-5 if index is None else 1e-3  # compared in float32, and computed in it by faiss
        np.testing.assert_allclose(found.scores.numpy(), expected, rtol=tolerance, atol=tolerance)
        of_found = np.take_along_axis(scores, found.items.numpy(), axis=1)
        np.testing.assert_allclose(of_found, expected, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(ranker.score_all(batch).numpy(), plain + bonus * unseen, rtol=1e-9, atol=1e-9)
        given = ranker.score_items(batch, found.items, candidates).numpy()
        np.testing.assert_allclose(given, of_found, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", BONUS)
def test_lists_of_several_bonuses_are_those_of_each(name, tiny_dataset):
    model, ranker, batch, candidates = prepared(name, tiny_dataset)
    points = [{"unseen_bonus": bonus} for bonus in (0.0, 1.0, 5.0)]
    together = list(ranker.rank_at(points, batch, 20, candidates))
    for point, ranked in zip(points, together, strict=True):
        model.decoding.update(point)
        assert torch.equal(ranked.items, ranker.rank(batch, 20, candidates).items)
    shares = [(~ranker.seen[ranked.items]).float().mean() for ranked in together]
    assert shares[0] < shares[2]


@pytest.mark.parametrize("name", DENSE)
def test_an_exact_index_finds_the_exact_lists(name, tiny_dataset):
    model, ranker, batch, candidates = prepared(name, tiny_dataset)
    exact = ranker.rank(batch, 20, candidates)
    model.ranking_index = "Flat"
    found = ranker.rank(batch, 20, candidates)
    same = (found.items[:, :, None] == exact.items[:, None, :]).any(2).float().mean()
    assert same > 0.99  # faiss computes in float32, in which few neighbours may change places
    torch.testing.assert_close(found.scores, exact.scores, rtol=1e-3, atol=1e-3)


def test_an_index_is_made_anew_for_other_vectors_and_other_candidates(tiny_dataset):
    model, ranker, batch, candidates = prepared("SASRec_T", tiny_dataset, ranking_index="Flat")
    fewer = candidates.clone()
    fewer[ranker.rank(batch, 1, candidates).items[0]] = False
    for allowed in (fewer, candidates):
        assert fewer[ranker.rank(batch, 20, allowed).items].all() == (allowed is fewer)
    before = ranker.rank(batch, 20, candidates).items
    model.train()
    with torch.no_grad():
        model.adaptor.weight.neg_()
    model.eval()
    model.ranking_index, exact = None, None
    exact = ranker.rank(batch, 20, candidates).items
    model.ranking_index = "Flat"
    again = ranker.rank(batch, 20, candidates).items
    assert not torch.equal(before, again)
    assert (again[:, :, None] == exact[:, None, :]).any(2).float().mean() > 0.99


def test_an_index_is_made_anew_where_the_first_items_never_change(tiny_dataset):
    model, _, batch, candidates = prepared("HSTU", tiny_dataset, ranking_index="Flat")
    last = candidates.clone()
    last[:65] = False  # those before it are unseen, and training leaves their vectors alone
    users = model.encode_users(batch)
    before = model.rank_users(users, 5, last).items
    with torch.no_grad():
        model.item_embedding.weight[65:].neg_()
    after = model.rank_users(users, 5, last).items
    model.ranking_index = None
    assert torch.equal(after, model.rank_users(users, 5, last).items) and not torch.equal(before, after)


def test_an_index_does_not_outlive_the_items_it_was_made_of(tiny_dataset):
    model, _, batch, _ = prepared("SemanticKNN", tiny_dataset, ranking_index="Flat")
    n, near = model.n_items, model.features[batch["item_id_list"][0, 0]].float()[None]
    candidates = torch.ones(n + 1, dtype=torch.bool)
    candidates[0] = False

    def has_new(model) -> list[bool]:
        return (model.rank_users(model.encode_users(batch), 10, candidates).items == n).any(1).tolist()

    far = with_items(model, {"": NewItems(-near)})
    assert not any(has_new(far))
    other = with_items(without_items(far, torch.arange(n)), {"": NewItems(near)})  # of the same id
    found = has_new(other)
    other.ranking_index = None
    assert found == has_new(other) and any(found)


def test_recall_is_measured_and_stated(tiny_dataset, caplog):
    model, ranker, batch, candidates = prepared("SemanticKNN", tiny_dataset)
    exact = ranker.rank(batch, 10, candidates).items
    model.ranking_index = "IVF8,Flat"  # one of its eight cells is searched
    with caplog.at_level(logging.INFO):
        found = model.nearest(model.user_vectors(batch), 10, ranker.rankable(candidates)).items
    plain = model._exact(model.user_vectors(batch), 10, ranker.rankable(candidates)).items
    share = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(found.tolist(), plain.tolist())])
    assert 0 < share < 1 and exact.shape == found.shape
    assert model.approximation == {"index": "IVF8,Flat", "recall": round(share, 5), "k": 10, "users": len(batch)}
    assert f"finds {share:.1%} of the 10 items" in caplog.text


def test_the_record_has_the_recall_and_an_exact_run_none(tiny_dataset):
    for index in (None, "Flat"):
        result = run_recbole("SemanticKNN", "tiny", config_dict={**tiny_dataset, "ranking_index": index})
        assert ("approximation" in result["record"]) == (index is not None)
    assert result["record"]["approximation"]["index"] == "Flat"
    with pytest.raises(UserError, match=r"\[ranking_index: nonsense\] can't be built"):
        run_recbole("SemanticKNN", "tiny", config_dict={**tiny_dataset, "ranking_index": "nonsense"})


def test_the_record_of_speculation_has_the_recall_of_the_drafters_index(tiny_dataset):
    settings = {**tiny_dataset, **TINY_T5, "epochs": 1, "eval_step": 0, "num_beams": 5, "draft_size": 10}
    settings |= {"drafter": "SemanticKNN", "backbone": "TIGER", "tune": None, "ranking_index": "Flat"}
    by_index = run_recbole("SpecGR_Aux", "tiny", config_dict={**settings, "draft_pool": 30})["record"]
    (name, found), *others = by_index["approximation"].items()
    assert (name, others) == ("drafter", []) and (found["index"], found["recall"]) == ("Flat", 1.0)
    assert found["k"] == 30
    of_all = run_recbole("SpecGR_Aux", "tiny", config_dict=settings)["record"]
    assert "approximation" not in of_all  # all items may be drafted, by their exact scores


def test_unit_vectors_of_mapped_text_are_made_once_and_follow_the_table(tiny_dataset):
    tokenizer = {"method": "opq", "codebook_size": 8, "levels": 2}
    model, _, batch, _ = prepared("SpecGRPP_RPG", tiny_dataset, tokenizer=tokenizer, map_size=8)
    states = model.read(batch).states

    def check(model) -> torch.Tensor:
        expected = F.normalize(states, dim=-1) @ F.normalize(model.item_table(), dim=-1).T / model.drafting_temperature
        torch.testing.assert_close(model.drafting_scores(states), expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(model.drafting_scores(states, slice(3, 9)), expected[:, 3:9], rtol=0, atol=1e-12)
        assert model.item_directions() is model.item_directions()
        return model.item_directions()

    before = check(model)
    tokens = torch.tensor([[*model.first_tokens, 0]])
    larger = with_items(model, {"": NewItems(torch.randn(1, model.features.size(1)), tokens)})
    assert torch.equal(check(larger)[:-1], before) and len(check(larger)) == len(before) + 1
    with torch.no_grad():
        model.item_map.linear.weight.mul_(torch.randn_like(model.item_map.linear.weight))
    after = check(model.train().eval())
    assert not torch.allclose(after, before)
