"""A class of one's own that derives from a model has the model's settings, under those of its baseline file."""

import pytest
from tiny_runs import TINY_SASREC, TINY_SPECGR, TINY_T5, run

from recbole_specgr.commands.train import _model_settings
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.registry import get_model
from recbole_specgr.system.errors import UserError

OURS = {"SpecGRPP": TINY_SPECGR, "TIGER": {**TINY_T5, "epochs": 1}, "SASRec": TINY_SASREC}
NAMED = {"model", "base", "base_model", "display_name", "group", "file_digests"}  # what says which of the two it is


@pytest.fixture
def derived(tiny_dataset, tmp_path):
    """Write a baseline `Mine` whose class derives from the model of a name and adds nothing."""
    folder = tmp_path / "baselines"
    folder.mkdir()

    def write(name, more=""):
        module = get_model(name).__module__
        (folder / "mine.py").write_text(f"from {module} import {name}\n\n\nclass Mine({name}):\n    pass\n")
        (folder / "Mine.yaml").write_text(f"base: mine:Mine\n{more}")

    return write


@pytest.mark.parametrize("name", OURS)
def test_a_run_of_a_subclass_is_that_of_its_base(derived, tmp_path, name):
    derived(name)
    mine, base = (run(model, tmp_path, **OURS[name])["record"] for model in ("Mine", name))
    assert mine["base_model"] == "Mine" and base["base_model"] == name
    settings = [{key: record["settings"][key] for key in record["settings"].keys() - NAMED} for record in (mine, base)]
    assert settings[0] == settings[1]
    assert list(mine["training"]) == list(base["training"])
    for key in ("metrics", "parameters"):
        assert mine[key] == base[key]


@pytest.mark.parametrize("name", ["SpecGRPP", "DSI", "TextSASRec", "SASRec", "FDSA", "S3Rec"])
def test_a_subclass_has_the_settings_of_its_base(derived, tiny_dataset, name):
    derived(name)
    mine, base = (
        Config(model, "tiny", config_dict={**tiny_dataset, "selected_features": ["title"]}) for model in ("Mine", name)
    )
    theirs = base.to_dict()
    assert {key: value for key, value in mine.to_dict().items() if key not in NAMED} == {
        key: theirs[key] for key in theirs if key not in NAMED
    }
    assert {key: mine.type_of(key) for key in theirs} == {key: base.type_of(key) for key in theirs}


def test_its_baseline_file_lies_over_them(derived, tiny_dataset):
    derived("SpecGRPP", "contrastive_weight: 3.5\nmy_setting: 2\n")
    mine, base = (Config(model, "tiny", config_dict=tiny_dataset) for model in ("Mine", "SpecGRPP"))
    assert (mine["contrastive_weight"], mine["my_setting"]) == (3.5, 2)
    assert mine["temperature"] == base["temperature"] is not None
    with pytest.raises(UserError, match=r"\[temperature\] must be .*Mine.yaml"):
        derived("SpecGRPP", "temperature: warm\n")
        Config("Mine", "tiny", config_dict=tiny_dataset)


def test_help_shows_them(derived):
    derived("SASRec", "hidden_size: 48\n")
    shown = _model_settings("Mine")
    assert "hidden_size: 64" in shown and "hidden_size: 48" in shown and "n_layers: 2" in shown
