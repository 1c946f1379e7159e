"""What a call may set of a model's inference."""

import numpy as np
import pytest

from recbole_specgr.models.contract import ModelContract
from recbole_specgr.serving.request import set_decoding
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError


class Ranks(ModelContract):
    """A model of which nothing is asked but its settings of inference."""

    def __init__(self, decoding: dict[str, object]) -> None:
        self.decoding = decoding


@pytest.fixture
def rpg(tiny_dataset) -> tuple[Ranks, Config]:
    """Of a model only its settings of inference, and its run's settings, some written as whole numbers."""
    own = {"unseen_bonus": 0, "graph_search": False, "graph_beam": 100, "graph_steps": 4, "mmr_weight": 1}
    return Ranks(dict(own)), Config("RPG", "tiny", config_dict={**tiny_dataset, **own})


def test_a_value_is_judged_by_the_settings_type_and_not_by_the_runs_own_value(rpg):
    model, config = rpg
    given = {"unseen_bonus": 0.25, "graph_steps": 0, "graph_beam": 1e2, "mmr_weight": np.float32(0.5)}
    set_decoding(model, given, config)
    assert model.decoding == {**given, "graph_search": False}
    assert type(model.decoding["graph_beam"]) is int


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mmr_weight": 3.0}, r"mmr_weight \[3.0\] must be a number from 0 to 1"),
        ({"mmr_weight": -0.1}, "from 0 to 1"),
        ({"graph_steps": -1}, "whole number from 0"),
        ({"graph_beam": 0}, "whole number from 1"),
        ({"graph_search": 1}, "True or False"),
        ({"unseen_bonus": float("nan")}, "must be finite"),
        ({"unseen_bonus": np.inf}, "must be finite"),
    ],
)
def test_a_value_out_of_the_settings_range_is_refused(rpg, given, message):
    model, config = rpg
    with pytest.raises(UserError, match=message):
        set_decoding(model, given, config)


@pytest.mark.parametrize("given", [{"beam_temperature": 0.0}, {"beam_temperature": -1.0}, {"group_penalty": -5.0}])
def test_beams_are_not_turned_over(tiny_dataset, given):
    """A temperature of 0 empties every list, and one below it turns the order over."""
    model = Ranks({"beam_temperature": 1.0, "group_penalty": 0.0})
    with pytest.raises(UserError, match="must be a number"):
        set_decoding(model, given, Config("TIGER", "tiny", config_dict=tiny_dataset))


def test_a_setting_that_no_schema_declares_keeps_its_kind(tiny_dataset):
    config = Config("SASRec", "tiny", config_dict=tiny_dataset)
    assert config.type_of("show_progress")["type"] == "boolean"
    assert config.type_of("no_such_setting") == {}
