"""The models over item text against plain computations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import write_tiny_dataset
from recbole.data.interaction import Interaction

from recbole_specgr.building.build import build_model, make_planned_items, model_of
from recbole_specgr.building.plan import plan_model
from recbole_specgr.building.warm_start import warm_start
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.models import unisrecpretrain
from recbole_specgr.models.unisrec import MoEAdaptor
from recbole_specgr.quick_start import run_recbole
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

SMALL = {"hidden_size": 16, "inner_size": 16, "n_layers": 1, "train_batch_size": 64, "topk": [5, 10], "epochs": 2}
SMALL |= {"valid_metric": "NDCG@10", "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "adaptor_dropout_prob": 0.0}


def build(model: str, settings: dict):
    """A model with random weights, and the train view of the tiny data set."""
    known = {key: value for key, value in SMALL.items() if model == "UniSRec" or key != "adaptor_dropout_prob"}
    config = Config(model, "tiny", config_dict={**settings, **known})
    train = InductiveDataset(config).build()[0]
    torch.manual_seed(0)
    return model_of(config, train), train


def test_the_adaptor_is_a_gated_sum_of_experts():
    torch.manual_seed(0)
    adaptor = MoEAdaptor(d_in=6, d_out=4, n_experts=3, dropout=0.5).eval()
    for parameter in adaptor.parameters():
        torch.nn.init.normal_(parameter)
    features = torch.randn(5, 6)
    for row, adapted in zip(features, adaptor(features)):
        gates = (row @ adaptor.gate).softmax(0)
        plain = sum(gate * ((row - bias) @ weight) for gate, bias, weight in zip(gates, adaptor.bias, adaptor.weight))
        torch.testing.assert_close(adapted, plain)


def test_the_gate_is_noisy_in_training_only():
    adaptor = MoEAdaptor(d_in=6, d_out=4, n_experts=3, dropout=0.0)
    features = torch.randn(5, 6)
    assert not torch.equal(adaptor(features), adaptor(features))
    adaptor.eval()
    assert torch.equal(adaptor(features), adaptor(features))


@pytest.mark.parametrize(("model", "cosine"), [("UniSRec", True), ("SASRec_T", False)])
def test_the_loss_is_cross_entropy_over_seen_items(model, cosine, tiny_dataset):
    network, train = build(model, tiny_dataset)
    network.eval()  # no noise in the gate
    batch = train[torch.arange(8)]
    table = network.adaptor(network.features)
    expected = []
    for row in range(8):
        length = int(batch["item_length"][row])
        items = batch["item_id_list"][row, :length]
        user = network.encode(table[items][None], items[None], torch.tensor([length]))[0]
        scores = {}
        for item in train.seen.nonzero().squeeze(1).tolist():
            similarity = F.cosine_similarity(user, table[item], dim=0) / 0.07 if cosine else user @ table[item]
            scores[item] = float(similarity.detach())
        log_sum = torch.tensor(list(scores.values())).logsumexp(0)
        expected.append(float(log_sum) - scores[int(batch["item_id"][row])])
    assert network.calculate_loss(batch).item() == pytest.approx(sum(expected) / 8, rel=1e-4)


@pytest.mark.parametrize("model", ["UniSRec", "SASRec_T"])
def test_padding_and_other_rows_do_not_matter(model, tiny_dataset):
    network, train = build(model, tiny_dataset)
    network.eval()
    batch = train[torch.arange(20)]
    together = network.full_sort_predict(batch)
    for row in range(20):
        alone = network.full_sort_predict(Interaction({key: batch[key][row : row + 1] for key in batch}))
        torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-4)


def test_item_vectors_follow_the_parameters(tiny_dataset):
    network, _ = build("UniSRec", tiny_dataset)
    before = network.eval().item_vectors()
    assert network.item_table() is network.item_table()
    network.train()
    with torch.no_grad():
        network.adaptor.weight.mul_(torch.randn_like(network.adaptor.weight))
    after = network.eval().item_vectors()
    assert not torch.allclose(before, after)
    state = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    network.load_state_dict(state)
    assert network.item_vectors().abs().sum() == 0


@pytest.fixture
def two_datasets(tiny_dataset, tmp_path) -> dict:
    """Settings of `tiny` and `other`, each with a file of text vectors."""
    generator = np.random.default_rng(3)
    for name, users in (("tiny", 60), ("other", 50)):
        folder = write_tiny_dataset(tmp_path / "dataset", name, n_users=users) if name == "other" else None
        folder = folder or tmp_path / "dataset" / name
        items = np.array([f"i{item}" for item in range(80)])
        np.savez(folder / "text.npz", item_id=items, features=generator.normal(size=(80, 12)).astype(np.float32))
    return {**tiny_dataset, **SMALL, "text_encoder": "text.npz"}


def test_a_pretrained_run_is_the_starting_point(two_datasets):
    pretrain = {"pretrain_datasets": ["other"]}
    first = run_recbole("UniSRecPretrain", "tiny", config_dict={**two_datasets, **pretrain})
    settings = {**two_datasets, "pretrained": first["run_dir"], "freeze_encoder": True}
    second = run_recbole("UniSRec", "other", config_dict=settings)
    one, two = (torch.load(run["model_file"]) for run in (first, second))
    one, two = one["state_dict"], two["state_dict"]
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]) == (not name.startswith("adaptor")), name
    with pytest.raises(UserError, match="does not fit"):
        run_recbole("UniSRec", "other", config_dict={**settings, "hidden_size": 8})
    with pytest.raises(UserError, match=r"\[text\.npz\].*by \[lsa\]"):
        run_recbole("UniSRec", "other", config_dict={**settings, "text_encoder": "lsa"})
    with pytest.raises(UserError, match=r"with text_standardise .*here it is \[other\] with True: the two don't"):
        run_recbole("UniSRec", "other", config_dict={**settings, "text_standardise": True})
    with pytest.raises(UserError, match=r"without \[pretrained\] would train the adaptor for an encoder of random"):
        run_recbole("UniSRec", "other", config_dict={**settings, "pretrained": None})


def test_principal_components_of_another_data_set_are_refused(two_datasets):
    reduced = {**two_datasets, "text_pca": 6}
    first = run_recbole("UniSRec", "tiny", config_dict=reduced)["run_dir"]
    run_recbole("UniSRec", "tiny", config_dict={**reduced, "pretrained": first})
    with pytest.raises(UserError, match="text_pca is fitted to each data set anew"):
        run_recbole("UniSRec", "other", config_dict={**reduced, "pretrained": first})


def with_joined_rows(config: Config, train: InductiveDataset):
    """A model about to be pre-trained, and what it is trained on."""
    plan = plan_model(config, train)
    network = build_model(plan, train, make_planned_items(plan, train))
    warm_start(plan, network)
    return network, network.training_rows(train)


def test_pretraining_reads_the_rows_of_all_data_sets(two_datasets):
    config = Config("UniSRecPretrain", "tiny", config_dict={**two_datasets, "pretrain_datasets": ["other"]})
    train = InductiveDataset(config).build()[0]
    network, rows = with_joined_rows(config, train)
    other = rows.views[1]
    assert len(rows) == len(train) + len(other) and other.dataset_name == "other"
    index = torch.randperm(len(rows))[:50]
    batch = rows[index]
    for row, number in enumerate(index.tolist()):
        view, shift = (train, 0) if number < len(train) else (other, train.item_num)
        alone = view[torch.tensor([number if view is train else number - len(train)])]
        length = int(alone["item_length"])
        items = [item + shift for item in alone["item_id_list"][0, :length].tolist()]
        assert batch["item_id_list"][row].tolist() == items + [0] * (20 - length)
        assert (int(batch["item_id"][row]), int(batch["item_length"][row])) == (int(alone["item_id"]) + shift, length)
        token = view.id2token("item_id", int(alone["item_id"]))
        file = np.load(f"dataset/{view.dataset_name}/text.npz")
        expected = file["features"][list(file["item_id"]).index(token)]
        np.testing.assert_array_equal(network.joined_features[batch["item_id"][row]].numpy(), expected)


def test_the_pretraining_losses_are_contrasts_in_the_batch(two_datasets, monkeypatch):
    config = Config("UniSRecPretrain", "tiny", config_dict={**two_datasets, "pretrain_datasets": ["other"]})
    train = InductiveDataset(config).build()[0]
    network, rows = with_joined_rows(config, train)
    network.eval()  # no noise in the gate
    index = torch.arange(0, len(rows), len(rows) // 12)
    batch = rows[index]
    targets = batch["item_id"].tolist()
    monkeypatch.setattr(unisrecpretrain, "dropped", lambda embedded, items, length, share: (embedded, items, length))
    losses = network.calculate_loss(batch)
    with torch.no_grad():
        vectors = network.adaptor(network.joined_features)
        users = []
        for items, length in zip(batch["item_id_list"], batch["item_length"]):
            history = items[None, :length]
            users.append(F.normalize(network.encode(vectors[history], history, length[None]), dim=1)[0])
        items = F.normalize(vectors, dim=1)
        by_item, by_sequence = [], []
        for row, user in enumerate(users):
            others = [n for n, target in enumerate(targets) if n == row or target != targets[row]]
            logits = torch.stack([user @ items[targets[n]] for n in others]) / 0.07
            by_item.append(logits.logsumexp(0) - logits[others.index(row)])
            logits = torch.stack([user @ other for other in users]) / 0.07
            by_sequence.append(logits.logsumexp(0) - logits[row])
    assert losses["item"].item() == pytest.approx(float(torch.stack(by_item).mean()), rel=1e-4)
    assert losses["sequence"].item() == pytest.approx(0.001 * float(torch.stack(by_sequence).mean()), rel=1e-4)


def test_dropping_keeps_order_and_at_least_one_item():
    torch.manual_seed(0)
    length = torch.randint(1, 9, (400,))
    items = torch.randint(1, 99, (400, 8)).where(torch.arange(8) < length[:, None], 0)
    embedded = items[:, :, None].float()
    for share in (0.0, 0.5, 1.0):
        vectors, kept, count = unisrecpretrain.dropped(embedded, items, length, share)
        for row in range(400):
            n = int(count[row])
            left, history = kept[row, :n].tolist(), iter(items[row, : length[row]].tolist())
            assert n >= 1 and all(item in history for item in left)  # a subsequence
            assert kept[row, n:].sum() == 0 and vectors[row, :n, 0].tolist() == left
        expected = {0.0: length, 1.0: torch.ones_like(length)}
        if share in expected:
            assert torch.equal(count, expected[share])
        else:
            assert 0.4 < float(count.sum() / length.sum()) < 0.6


def test_lsa_does_not_join_data_sets(two_datasets):
    settings = {**two_datasets, "text_encoder": "lsa", "pretrain_datasets": ["other"]}
    with pytest.raises(UserError, match="lsa is fitted to each data set"):
        run_recbole("UniSRecPretrain", "tiny", config_dict=settings)
