"""What scripts/scale.py computes from two small catalogues is what a larger one takes."""

from __future__ import annotations

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import scale
from scaling.data import Sizes, arrays
from scaling.model import made_up, peak_of, rank, scores_at_once, tensors, train

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "num_beams": 5, "topk": [5]}
T5 |= {"tokenizer": {"codebook_size": 32, "levels": 3}, "valid_metric": "NDCG@5"}
NARROW = {"hidden_size": 8, "inner_size": 8, "n_layers": 1, "n_heads": 2}
MODELS = {
    "SASRec_T": NARROW,
    "SASRec": NARROW,
    "SpecGRPP": {**T5, "draft_size": 5, "train_batch_size": 64, "contrastive_batch_size": 64},
    "RPG": {**NARROW, "tokenizer": {"levels": 4, "codebook_size": 64}},
}
USERS, ROWS, WIDTH, LARGER, STRETCH = 8, 64, 12, 40_000, 5000


@pytest.mark.parametrize("name", MODELS)
def test_a_larger_catalogue_takes_what_was_computed(name):
    settings = {**MODELS[name], "use_gpu": False, "MAX_ITEM_LIST_LENGTH": 6, "stages": None}
    config = Config(name, "ml-100k", config_dict=settings)
    found = scale.account(config, WIDTH, USERS, ROWS)
    built = made_up(config, LARGER, WIDTH)
    held = sum(tensor.numel() * tensor.element_size() for tensor, _ in tensors(built[0]).values())
    assert found.tensors_at(LARGER) == pytest.approx(held, rel=0.01)
    with scores_at_once(USERS * STRETCH):
        peak = peak_of(lambda: rank(*built, config, USERS))
    assert 0.9 * peak <= found.ranking.at(LARGER, USERS * STRETCH) <= 1.5 * peak  # what is never held at once is added
    train(*built, config, ROWS)
    built[0].zero_grad(set_to_none=True)
    peak = peak_of(lambda: train(*built, config, ROWS))
    assert found.training.at(LARGER) == pytest.approx(peak, rel=0.15)


def test_what_fits_is_the_last_number_of_items_that_does():
    config = Config("SASRec", "ml-100k", config_dict={**NARROW, "use_gpu": False})
    found = scale.account(config, WIDTH, USERS, ROWS)
    for at in ("training", "ranking"):
        most = found.most_items(1e9, at)
        assert getattr(found, f"{at}_at")(most) <= 1e9 < getattr(found, f"{at}_at")(1.01 * most)


def test_the_arrays_of_a_data_set_are_those_of_a_loaded_one(tiny_dataset):
    loaded = InductiveDataset(Config("SASRec", "tiny", config_dict=tiny_dataset))
    views = loaded.build()
    split, n = loaded.split, len(loaded.split.order)
    computed = arrays(Sizes(n, loaded.user_num - 1, loaded.item_num))
    sizes = [size for _, size, _ in computed.values()]
    columns = [loaded.inter_feat[field] for field in ("user_id", "item_id", "timestamp")]
    assert sizes[0] == sum(column.nbytes for column in columns)
    assert sizes[1] == sum(
        getattr(split, name).nbytes for name in ("order", "users", "items", "times", "starts", "phases")
    )
    assert sizes[2] == split.targets.nbytes
    assert sizes[3] == loaded._history_times.nbytes
    assert sizes[4] == sum(view.rows.nbytes + view.starts.nbytes for view in views)
    assert sizes[5] == sum(
        view.inter_feat[field].nbytes for view in views for field in ("user_id", "item_id", "timestamp")
    )
    assert sizes[8] == split.seen.nbytes + split.first_seen.nbytes + split.interacted.nbytes


def test_a_model_that_reads_interactions_is_refused():
    with pytest.raises(UserError, match=r"\[MostPop\] reads more than"):
        made_up(Config("MostPop", "ml-100k", config_dict={"use_gpu": False}), 50, WIDTH)
