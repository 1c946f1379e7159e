from __future__ import annotations

import logging

import pytest
import torch

from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.settings.config import Config


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
