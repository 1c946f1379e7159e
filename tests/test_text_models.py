"""The models over item text against plain computations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from conftest import write_tiny_dataset
from recbole.data.interaction import Interaction

from recbole_specgr.config import Config
from recbole_specgr.errors import UserError
from recbole_specgr.models.unisrec import MoEAdaptor
from recbole_specgr.quick_start import run_recbole
from recbole_specgr.registry import get_dataset_class

SMALL = {"hidden_size": 16, "inner_size": 16, "n_layers": 1, "train_batch_size": 64, "topk": [5, 10], "epochs": 2}
SMALL |= {"valid_metric": "NDCG@10", "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0, "adaptor_dropout_prob": 0.0}


def build(model: str, settings: dict):
    """A model with random weights, and the train view of the tiny data set."""
    known = {key: value for key, value in SMALL.items() if model == "UniSRec" or key != "adaptor_dropout_prob"}
    config = Config(model, "tiny", config_dict={**settings, **known})
    train = get_dataset_class(config)(config).build()[0]
    torch.manual_seed(0)
    return config.model_class(config, train), train


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


def test_a_pretrained_run_is_the_starting_point(tiny_dataset, tmp_path):
    first = run_recbole("UniSRec", "tiny", config_dict={**tiny_dataset, **SMALL})
    write_tiny_dataset(tmp_path / "dataset", "other", n_users=50)
    settings = {**tiny_dataset, **SMALL, "pretrained": first["run_dir"], "freeze_encoder": True}
    second = run_recbole("UniSRec", "other", config_dict=settings)
    one, two = (torch.load(run["model_file"])["state_dict"] for run in (first, second))
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.equal(value, two[name]) == (not name.startswith("adaptor")), name
    with pytest.raises(UserError, match="does not fit"):
        run_recbole("UniSRec", "other", config_dict={**settings, "hidden_size": 8})
