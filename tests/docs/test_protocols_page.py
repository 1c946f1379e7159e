"""docs/protocols.md: its commands name the splits that it describes, and it is shorter than a page."""

import re
import shlex

import yaml
from conftest import ROOT

from recbole_specgr.settings.arguments import parse
from recbole_specgr.settings.config import Config

PAGE = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")


def test_the_commands_give_the_splits_of_the_table():
    (commands,) = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    splits = []
    for command in commands.splitlines():
        given = parse(shlex.split(command)[2:])
        config = Config(given.model, given.dataset, given.config_files, {**given.settings, "use_gpu": False})
        splits.append(config["split"])
    assert splits == ["by_time", "leave_one_out"] == re.findall(r"`split: (\w+)` \|", PAGE)
    assert len(PAGE.split()) < 550


def test_the_filters_that_make_a_five_core_are_settings():
    lines = re.findall(r"`(\w+_inter_num_interval: .*?)`", PAGE)
    config = Config("SASRec", "ml-100k", config_dict={**yaml.safe_load("\n".join(lines)), "use_gpu": False})
    assert config["user_inter_num_interval"] == config["item_inter_num_interval"] == "[5,inf)"
