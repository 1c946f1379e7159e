from __future__ import annotations

import logging

import pytest
import torch

from recbole_specgr.backbones.transformers_files import save
from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError


@pytest.mark.parametrize("architecture", ["encoder_decoder", "decoder_only"])
def test_torch_compile_is_said_to_have_no_effect_on_a_cpu(architecture: str, tiny_dataset, caplog) -> None:
    settings = {"architecture": architecture, "tokenizer": {"method": "rqkmeans", "codebook_size": 4}}

    def made(**more):
        config = Config("TIGER", "tiny", config_dict={**tiny_dataset, **settings, **more})
        train, _, _ = InductiveDataset(config).build()
        torch.manual_seed(0)
        return model_of(config, train)

    made()
    assert "torch_compile" not in caplog.text
    with caplog.at_level(logging.WARNING):
        model = made(torch_compile=True)
    assert "[torch_compile] is for GPUs" in caplog.text
    assert all(module._compiled_call_impl is None for module in model.modules())


OWN_NETWORK = """
from recbole_specgr.models.tiger import TIGER


class Own(TIGER):
    def build_backbone(self, config, vocab_size):
        return super().build_backbone(config, vocab_size)
"""
NO_SIZES = """
from recbole_specgr.models.generative_recommender import GenerativeRecommender


class Bare(GenerativeRecommender):
    decoding_keys = ()
"""


@pytest.mark.parametrize("model", ["SpecGRPP", "LIGER", "TIGER_C"])
def test_a_backbone_with_a_network_of_its_own_is_not_replaced_by_another(model, tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "Own.py").write_text(OWN_NETWORK)
    sizes = "{d_model: 16, d_kv: 8, d_ff: 16, num_layers: 1, num_heads: 2, dropout_rate: 0.1, num_beams: 5}"
    (tmp_path / "baselines" / "Own.yaml").write_text(f"base: Own:Own\n{sizes[1:-1].replace(', ', chr(10))}\n")
    config = Config(model, "tiny", config_dict={**tiny_dataset, "backbone": "Own"})
    train, _, _ = InductiveDataset(config).build()
    with pytest.raises(UserError, match=rf"\[backbone: Own\] has a network of its own, and {model} would build"):
        model_of(config, train)


def test_sizes_that_a_model_of_ones_own_lacks_are_named(tiny_dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "Bare.py").write_text(NO_SIZES)
    (tmp_path / "baselines" / "Bare.yaml").write_text("base: Bare:Bare\nd_model: 16\nd_ff: 16\nnum_heads: 2\n")
    config = Config(
        "Bare", "tiny", config_dict={**tiny_dataset, "tokenizer": {"method": "rqkmeans", "codebook_size": 4}}
    )
    train, _, _ = InductiveDataset(config).build()
    with pytest.raises(UserError, match=r"\[Bare\] needs the settings d_kv, num_layers, dropout_rate to build"):
        model_of(config, train)


def test_a_network_of_ones_own_is_not_exported(tmp_path):
    with pytest.raises(UserError, match="The backbone Linear can't be exported"):
        save(torch.nn.Linear(2, 2), tmp_path)
