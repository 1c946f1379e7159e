"""`precision: auto`, and the warning where a device only emulates bfloat16."""

import pytest
import torch
import yaml

from recbole_specgr.settings import precision
from recbole_specgr.settings.config import Config
from recbole_specgr.system.bfloat16 import has_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 amx_tile amx_bf16\n", True),
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f\n", False),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", True),
        ("processor\t: 0\nFeatures\t: fp asimd\n", False),
        ("processor\t: 0\n", True),
    ],
)
def test_a_processor_says_whether_it_has_bfloat16(text, expected, tmp_path):
    (tmp_path / "cpuinfo").write_text(text)
    assert has_bfloat16(CPU, tmp_path / "cpuinfo") is expected
    assert has_bfloat16(CPU, tmp_path / "none") is True


@pytest.mark.parametrize(("has", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_what_the_device_computes_in(tiny_dataset, monkeypatch, caplog, has, expected):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: has)
    config = Config("S3Rec", "tiny", config_dict={**tiny_dataset, "precision": "auto", "stages.pretrain.epochs": 1})
    assert config["precision"] == expected and not caplog.text
    saved = yaml.safe_load(yaml.safe_dump(config.to_dict()))
    assert saved["precision"] == expected
    assert (
        Config("TIGER", "tiny", config_dict={**tiny_dataset, "decoding_precision": "auto"})["decoding_precision"]
        == expected
    )
    stages = {"stages.pretrain.precision": "auto"}
    assert (
        Config("S3Rec", "tiny", config_dict={**tiny_dataset, **stages})["stages"]["pretrain"]["precision"] == expected
    )


def test_emulated_bfloat16_is_a_warning(tiny_dataset, monkeypatch, caplog):
    asked = {**tiny_dataset, "precision": "bf16", "decoding_precision": "bf16"}
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    Config("TIGER", "tiny", config_dict=asked)
    assert not caplog.text
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    Config("TIGER", "tiny", config_dict=asked)
    assert "[precision: bf16]: this cpu has no arithmetic" in caplog.text
    assert "[decoding_precision: bf16]" in caplog.text
