"""Defaults that follow from another setting."""

from __future__ import annotations

import pytest

from recbole_specgr.settings.config import Config


@pytest.mark.parametrize(
    ("model", "given", "expected"),
    [
        ("TIGER", {}, "rows"),
        ("TIGER", {"architecture": "decoder_only"}, "windows"),
        ("TIGER", {"architecture": "decoder_only", "train_on": "rows"}, "rows"),
        ("TIGER_decoder", {}, "windows"),
        ("SpecGRPP_decoder", {"architecture": "encoder_decoder"}, "rows"),
        ("SpecGR_Aux", {"backbone": "TIGER_decoder"}, "windows"),
    ],
)
def test_a_decoder_learns_from_windows_unless_somebody_says_otherwise(tiny_dataset, model, given, expected) -> None:
    config = Config(model, "tiny", config_dict={**tiny_dataset, **given})
    assert config["train_on"] == expected
    assert Config.from_dict(config.to_dict())["train_on"] == expected


def test_a_part_follows_its_own_architecture(tiny_dataset) -> None:
    whole = Config("SpecGR_Aux", "tiny", config_dict={**tiny_dataset, "backbone": "TIGER_decoder"})
    assert whole.part("TIGER_decoder", {}, "here", inherits=True)["train_on"] == "windows"
    assert whole.part("Recformer", {}, "here")["train_on"] == "rows"
