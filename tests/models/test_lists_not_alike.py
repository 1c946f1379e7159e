"""Every model that can compare items gives lists of items that are less alike, under a setting that can be tuned."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny_runs import TINY_T5, run

from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.models.ranking import Ranker
from recbole_specgr.serving import Recommender
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.registry import list_models
from recbole_specgr.system.errors import UserError

COSINES = {
    "SASRec": lambda model: model.item_embedding.weight,
    "HSTU": lambda model: model.item_embedding.weight,
    "TextSASRec": lambda model: model.features,
    "SemanticKNN": lambda model: model.features,
}


def made(name: str, settings: dict, **more):
    config = Config(name, "tiny", config_dict={**settings, "mmr_pool": 20, **more})
    train, _, test = InductiveDataset(config).build()
    torch.manual_seed(0)
    return model_of(config, train).eval(), train, test


@pytest.mark.parametrize("name", COSINES)
def test_likeness_is_the_cosine(name, tiny_dataset):
    model, *_ = made(name, tiny_dataset)
    items = torch.tensor([[3, 7, 9], [4, 5, -1]])
    found = model.alike(items).detach()
    for row in range(2):
        for one in range(3 - row):
            for other in range(3 - row):
                vectors = COSINES[name](model)[items[row, [one, other]]]
                assert float(found[row, one, other]) == pytest.approx(
                    F.cosine_similarity(*vectors, dim=0).item(), abs=1e-6
                )


def test_likeness_of_ids_is_the_share_of_digits(tiny_dataset):
    model, *_ = made("TIGER", tiny_dataset, tokenizer={"method": "rqkmeans", "codebook_size": 4})
    items = torch.arange(1, 41)[None]
    codes, found = model.tokens[:, :-1].tolist(), model.alike(items)[0]
    for one in range(40):
        for other in range(40):
            pairs = zip(codes[one + 1], codes[other + 1])
            leading = next((place for place, (a, b) in enumerate(pairs) if a != b), 3)
            assert float(found[one, other]) == pytest.approx(leading / 3)
    model, *_ = made("RPG", tiny_dataset, tokenizer={"method": "opq", "codebook_size": 4, "levels": 4})
    codes, found = model.codes.tolist(), model.alike(items)[0]
    for one in range(40):
        same = [sum(a == b for a, b in zip(codes[one + 1], codes[other + 1])) / 4 for other in range(40)]
        assert found[one].tolist() == pytest.approx(same)


@torch.no_grad()
@pytest.mark.parametrize("name", ["SASRec", "TextSASRec", "TIGER", "RPG", "SpecGRPP", "LIGER"])
@pytest.mark.parametrize("repeatable", [True, False])
def test_lists_are_chosen_from_the_models_own_and_are_less_alike(name, repeatable, tiny_dataset):
    ids = (
        {"tokenizer": {"method": "rqkmeans", "codebook_size": 8}}
        if name != "RPG"
        else {"tokenizer": {"codebook_size": 8, "levels": 4}}
    )
    model, train, test = made(
        name, tiny_dataset, repeatable=repeatable, **(ids if name not in ("SASRec", "TextSASRec") else {})
    )
    ranker = Ranker(model, train.seen, "keep", repeatable)
    batch, candidates = test[torch.arange(40)], test.candidates
    pool, own = ranker.rank(batch, 20, candidates).items, ranker.rank(batch, 6, candidates).items
    points = [{"mmr_weight": weight} for weight in (0.0, 0.8)]
    plain, unlike = (ranked.items for ranked in ranker.rank_at(points, batch, 6, candidates))
    assert torch.equal(plain, own)
    assert (unlike[:, :, None] == pool[:, None]).any(2).all() and (unlike[:, 0] == pool[:, 0]).all()
    apart = ~torch.eye(6, dtype=torch.bool)
    assert model.alike(unlike)[:, apart].mean() < model.alike(plain)[:, apart].mean()
    if not repeatable:
        assert not (unlike[:, :, None] == batch["earlier_item_id_list"][:, None]).any()


def test_it_is_tuned_and_served_like_any_setting_of_inference(tmp_path):
    from conftest import write_tiny_dataset

    write_tiny_dataset(tmp_path / "dataset")
    grid = {"mmr_weight": [0.0, 0.5], "beam_groups": [1, 2], "beam_temperature": [1.0, 2.0]}
    trained = run("TIGER", tmp_path, **TINY_T5, tune=grid)
    record = trained["record"]
    assert len(record["tuning"]["points"]) == 8 and record["tuning"]["choice"].keys() == grid.keys()
    recommender = Recommender.load(trained["run_dir"], device="cpu")
    assert recommender.decoding["mmr_weight"] == record["tuning"]["choice"]["mmr_weight"]
    lists = [recommender.recommend([["i3", "i14"]], 10, mmr_weight=weight).items for weight in (0.0, 0.9)]
    assert lists[0] != lists[1]


def test_a_model_that_compares_nothing_has_no_such_setting(tiny_dataset):
    model, *_ = made("MostPop", tiny_dataset)
    assert "mmr_weight" not in model.decoding
    model, *_ = made("SASRec", tiny_dataset)
    del model.item_embedding
    with pytest.raises(UserError, match="SASRec has no item_embedding"):
        model.alike(torch.ones(1, 2, dtype=torch.long))


def test_which_of_our_models_compare_items():
    from recbole_specgr.models.contract import adapted
    from recbole_specgr.settings.registry import get_model

    cannot = {name for name in list_models()["recbole_specgr"] if not adapted(get_model(name)).compares_items}
    assert cannot == {"Ensemble", "ItemCoCount", "MostPop", "RecentPop", "Recformer", "TIGER_C"}
