"""Ensembles against plain loops over lists."""

from __future__ import annotations

import pytest
import torch
from conftest import write_tiny_dataset
from recbole.data.interaction import Interaction

from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.decoding.verification import VerificationSettings
from recbole_specgr.models.ensemble import best, places, scaled, union
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.quick_start import load_data_and_model, run_recbole
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

K, LENGTH, ROWS = 10, 12, 4
SASREC = {"epochs": 2, "hidden_size": 8, "inner_size": 8, "n_layers": 1, "train_batch_size": 64}
TIGER = {"epochs": 2, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "num_beams": 20}
TIGER |= {"warmup_steps": 5, "tokenizer": {"method": "rqkmeans", "codebook_size": 8, "levels": 3}}


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> dict:
    """Settings of the tiny data set; and runs of two models on it, to be made one."""
    folder = tmp_path_factory.mktemp("ensemble")
    write_tiny_dataset(folder / "dataset")
    shared = {f"{name}_path": str(folder / place) for name, place in (("runs", "runs"), ("cache", "cache"))}
    shared |= {"data_path": str(folder / "dataset"), "show_progress": False, "use_gpu": False, "text_dim": 16}
    shared |= {"topk": [5, K], "valid_metric": f"NDCG@{K}", "list_length": LENGTH}
    alone = {key: value for key, value in shared.items() if key != "list_length"}
    first = run_recbole("SASRec", "tiny", config_dict={**alone, **SASREC})
    second = run_recbole("TIGER", "tiny", config_dict={**alone, **TIGER})
    runs = {"first": "SASRec", "first_run": first["run_dir"], "second": "TIGER", "second_run": second["run_dir"]}
    return {**shared, **runs}


def one_row(batch: Interaction, row: int) -> Interaction:
    return Interaction({key: batch[key][row : row + 1] for key in batch})


@pytest.mark.parametrize("method", ["score", "rank", "two_stage"])
def test_each_method_is_what_it_says(method, settings):
    result = run_recbole("Ensemble", "tiny", config_dict={**settings, "method": method, "weight": 0.3})
    assert list(result["record"]["training"]) == []
    *_, test = load_data_and_model(result["run_dir"])
    model = load_data_and_model(result["run_dir"])[1].eval()
    batch = test._dataset[torch.arange(ROWS)]
    candidates, seen = test._dataset.candidates, test._dataset.seen
    lists = model.full_sort_topk(batch, K, candidates).tolist()
    sasrec, tiger = model.parts["first"], model.parts["second"]
    backbone, tokens = tiger.backbone, tiger.tokens
    for row in range(ROWS):
        alone = one_row(batch, row)
        known = [item for item in alone["item_id_list"][0].tolist() if item and seen[item]]
        dropped = torch.zeros(1, 20, dtype=torch.long)
        dropped[0, : len(known)] = torch.tensor(known)
        read = {"item_id_list": dropped, "item_length": torch.tensor([len(known)])} if known else {}
        logits = sasrec.full_sort_predict(Interaction({**alone.interaction, **read}))[0].tolist()
        ids = [item for item in range(1, len(seen)) if candidates[item]]
        first = sorted((item for item in ids if seen[item]), key=lambda item: -logits[item])
        history = tiger.history_tokens(alone)
        with torch.no_grad():
            encoded = backbone.encode(history)
            log_likelihood = {item: -float(backbone.loss(encoded, history, tokens[item][None])) for item in ids}
        second = sorted(ids, key=lambda item: -log_likelihood[item])
        if method == "two_stage":
            expected = sorted(first[:K], key=lambda item: -log_likelihood[item])
        else:
            second = tiger.full_sort_topk(alone, LENGTH, candidates)[0].tolist()  # its beams may miss the very best
            both = sorted({*first[:LENGTH], *second} - {-1})
            if method == "rank":
                place = [{item: number for number, item in enumerate(ranked[:LENGTH], 1)} for ranked in (first, second)]
                score = {item: -sum(places.get(item, LENGTH + 1) for places in place) / 2 for item in both}
            else:
                parts = []
                for values in ({i: logits[i] for i in both if seen[i]}, {i: log_likelihood[i] for i in both}):
                    low, high = min(values.values()), max(values.values())
                    parts.append({item: (value - low) / (high - low) for item, value in values.items()})
                score = {item: 0.3 * parts[0].get(item, 0) + 0.7 * parts[1][item] for item in both}
            expected = sorted(both, key=lambda item: -score[item])[:K]
            # Equal but for rounding may swap.
            assert [score[i] for i in lists[row]] == pytest.approx([score[i] for i in expected], abs=1e-4)
            continue
        got = [log_likelihood[item] for item in lists[row]]
        assert got == pytest.approx([log_likelihood[item] for item in expected], abs=1e-4)
        assert set(lists[row]) == set(expected)


@torch.no_grad()
@pytest.mark.parametrize("method", ["score", "rank", "two_stage"])
def test_each_method_joins_lists_without_what_is_left_out(method, settings):
    """Of a user who can't be recommended some items: as if these were no candidates."""
    result = run_recbole("Ensemble", "tiny", config_dict={**settings, "method": method})
    _, model, *_, test = load_data_and_model(result["run_dir"])
    view = test._dataset
    model.parts["second"].decoding["num_beams"] = 200  # all prefixes, so that the search misses nothing
    batch, ranker = view[torch.arange(ROWS)], Ranker(model.eval(), view.seen, "drop")
    lists = ranker.rank(batch, K, view.candidates).items
    out = lists[:, [0, 3, 4]]
    found = ranker.rank(batch, K, view.candidates, out).items
    for row in range(ROWS):
        others = view.candidates.clone()
        others[out[row]] = False
        assert found[row].tolist() == ranker.rank(one_row(batch, row), K, others).items[0].tolist()


def test_scores_of_given_items(settings):
    run = load_data_and_model(settings["second_run"])
    tiger, test = run[1].eval(), run[-1]._dataset
    batch = test[torch.arange(3)]
    parts = [(test.candidates & part).nonzero().squeeze(1)[:4] for part in (test.seen, ~test.seen)]
    items = torch.cat([*parts, torch.tensor([-1])]).repeat(3, 1)
    whole = tiger.score_items(batch, items, test.candidates)
    adjusted = VerificationSettings(k=9, draft_size=9, num_beams=1, score_adjustment=True, unseen_bonus=0.0)
    shortened = tiger.log_likelihood(batch, items, test.candidates, adjusted)
    assert (whole[:, -1] == -torch.inf).all() and (shortened[:, -1] == -torch.inf).all()
    torch.testing.assert_close(whole[:, :4], shortened[:, :4])
    tokens = tiger.history_tokens(batch)
    with torch.no_grad():
        memory = tiger.backbone.encode(tokens)
        for row, column in ((0, 1), (2, 6)):
            labels = tiger.tokens[items[row, column]][None]
            part = slice(row, row + 1)
            expected = -tiger.backbone.loss(memory[part], tokens[part], labels)
            assert float(whole[row, column]) == pytest.approx(float(expected), abs=1e-5)
            short = -tiger.backbone.loss(memory[part], tokens[part], labels[:, :-1])
            if not test.seen[items[row, column]]:
                assert float(shortened[row, column]) == pytest.approx(float(short), abs=1e-5)


def test_pieces():
    first, second = torch.tensor([[5, 3, -1], [1, 2, 3]]), torch.tensor([[3, 7, 5], [4, 1, -1]])
    items = union(first, second)
    assert [sorted(set(row) - {-1}) for row in items.tolist()] == [[3, 5, 7], [1, 2, 3, 4]]
    assert places(torch.tensor([[7, 5, 9]]), second[:1]).tolist() == [[2, 3, 4]]
    scores = torch.tensor([[2.0, -torch.inf, 4.0, 3.0], [1.0, 1.0, 1.0, -torch.inf]])
    assert scaled(scores).tolist() == [[0, 0, 1, 0.5], [0, 0, 0, 0]]
    ranked = best(torch.tensor([[4, -1, 6, 8]]), torch.tensor([[1.0, 9.0, 1.0, 2.0]]), 5)
    assert ranked.tolist() == [[8, 4, 6, -1, -1]]


@pytest.mark.parametrize("second", ["SASRec", "MostPop"])
def test_two_models_that_know_no_new_items_make_none(second, settings):
    pair = {"second": second, "second_run": settings["first_run"] if second == "SASRec" else None}
    result = run_recbole("Ensemble", "tiny", config_dict={**settings, **pair, "method": "rank"})
    assert result["test_result"]["unseen_recall@10"] == 0 and result["test_result"]["in_sample_recall@10"] > 0


def test_an_unknown_method_is_refused(settings):
    with pytest.raises(UserError, match=r"method.*score, rank, two_stage.*\[vote\]"):
        run_recbole("Ensemble", "tiny", config_dict={**settings, "method": "vote"})


def test_tuning_scores_a_batch_once_for_all_weights(settings, monkeypatch):
    grid = {"weight": [0.0, 0.4, 1.0]}
    run = run_recbole("Ensemble", "tiny", config_dict={**settings, "method": "score", "tune": grid})
    tried = run["record"]["tuning"]["points"]
    alone = [
        run_recbole("Ensemble", "tiny", config_dict={**settings, "method": "score", "weight": weight})
        for weight in grid["weight"]
    ]
    metric = f"ndcg@{K}"
    expected = [own["record"]["metrics"]["valid"][metric] for own in alone]
    assert [point["metrics"][metric] for point in tried] == pytest.approx(expected)
    model = load_data_and_model(run["run_dir"])[1].eval()
    calls, lists = [], type(model).lists
    monkeypatch.setattr(type(model), "lists", lambda self, *args: calls.append(1) or lists(self, *args))
    *_, test = load_data_and_model(run["run_dir"])
    batch = test._dataset[torch.arange(ROWS)]
    ranker = Ranker(model, test._dataset.seen, "drop")
    points = [{"weight": weight} for weight in grid["weight"]]
    list(ranker.rank_at(points, batch, K, test._dataset.candidates))
    assert len(calls) == 1


def test_times_leave_with_the_unseen_items_of_a_history(tiny_dataset):
    """Models that learn a vector an item read no unseen items; those of an ensemble read the others' times."""
    sizes = {"hidden_size": 8, "n_layers": 1}
    parts = {
        "first": "HSTU",
        "first_settings": sizes,
        "second": "SASRec",
        "second_settings": {**sizes, "inner_size": 8},
    }
    config = Config("Ensemble", "tiny", config_dict={**tiny_dataset, **parts})
    train, _, test = InductiveDataset(config).build()
    model, batch = model_of(config, train).eval(), test[torch.arange(len(test))]
    read = Ranker(model, test.seen, "drop").as_read(batch)
    assert not torch.equal(read["item_id_list"], batch["item_id_list"])
    for row in range(len(batch)):
        history = zip(batch["item_id_list"][row].tolist(), batch["timestamp_list"][row].tolist())
        known = [(item, time) for item, time in history if test.seen[item]]
        if known:
            items, times = read["item_id_list"][row].tolist(), read["timestamp_list"][row].tolist()
            assert list(zip(items, times))[: len(known)] == known and not any(times[len(known) :])
