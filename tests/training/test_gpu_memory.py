"""What is said when a GPU's memory runs out."""

from __future__ import annotations

import re

import pytest
import torch

from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.training.memory import memory_gb, out_of_memory_advice


@pytest.mark.gpu
def test_a_gpu_out_of_memory_says_how_much_there_is_and_what_helps(tiny_dataset) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    config = Config("TIGER", "tiny", config_dict={**tiny_dataset, "use_gpu": True})
    kept = torch.zeros(2**28, dtype=torch.uint8, device="cuda")
    with pytest.raises(UserError) as error, out_of_memory_advice(config, training=True):
        torch.empty(2**50, dtype=torch.uint8, device="cuda")
    message = str(error.value)
    assert torch.cuda.get_device_name() in message and "--precision=bf16" in message
    assert re.search(r"has [\d.]+ GB, [\d.]+ of them free; tensors had [\d.]+ GB at most", message)
    assert memory_gb(kept.device) >= 0.25
