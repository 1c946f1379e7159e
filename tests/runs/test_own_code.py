"""Runs of a class of the user's own are told apart by its code, and by the settings that its file declares."""

import importlib
import re
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from tiny_runs import TINY_SASREC, run

from recbole_specgr.runs.comparison import alike_records, differences
from recbole_specgr.runs.configure import configure
from recbole_specgr.runs.folder import write_config
from recbole_specgr.settings import own_code
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

MODEL = "from recbole.model.sequential_recommender import SASRec\n\n\nclass Mine(SASRec):\n    pass\n"
TOKENIZER = """
from dataclasses import dataclass
from recbole_specgr.semantic_ids.tokenizers.rqkmeans import RQKMeans


@dataclass
class Ids(RQKMeans):
    share: float = 0.5
"""
METRIC = """
from recbole_specgr.evaluation.metrics.recall import Recall


class Found(Recall):
    pass
"""
SPLIT = """
from recbole_specgr.data.splits.by_time import ByTime


class Weekly(ByTime):
    name = "Weekly"
"""


@pytest.fixture
def write(tiny_dataset, tmp_path):
    """Write a file of baselines/, as if each run were a process of its own, which imports it anew."""
    (tmp_path / "baselines").mkdir()

    def write(name: str, text: str) -> None:
        (tmp_path / "baselines" / name).write_text(text)
        sys.modules.pop(f"recbole_specgr_baselines.{Path(name).stem}", None)

    write("Mine.yaml", "base: mine:Mine\n")
    write("mine.py", MODEL)
    return write


def edited(text: str) -> str:
    return f"{text}\n    changed = True\n"


def test_runs_of_an_edited_class_are_no_seeds_of_one_model(write, tmp_path):
    def made(seed: int, **settings) -> dict:
        return run("Mine", tmp_path, **TINY_SASREC, seed=seed, **settings)

    first, second = made(1), made(2)
    assert alike_records(first["record"], second["record"])
    write("mine.py", edited(MODEL))
    third = made(2)
    assert differences(first["record"]["settings"], third["record"]["settings"]).keys() == {"base_model"}
    with pytest.raises(UserError, match=r"trained with other settings.*\[base_model\] is Mine \(content"):
        made(1, trained_run=first["run_dir"])
    write("mine.py", MODEL)
    assert made(1, trained_run=first["run_dir"])["test_result"] == first["test_result"]


def test_an_interrupted_run_does_not_go_on_with_other_code(write, tiny_dataset, tmp_path):
    settings = {**tiny_dataset, **TINY_SASREC}
    folder = tmp_path / "runs" / "tiny" / "Mine" / "begun"
    folder.mkdir(parents=True)
    write_config(folder, Config("Mine", "tiny", config_dict=settings))

    def resumed(resume: str) -> tuple[Config, bool]:
        return configure("Mine", "tiny", None, {**settings, "resume": resume})

    for resume in ("auto", str(folder)):
        config, goes_on = resumed(resume)
        assert goes_on and Path(config["run_dir"]) == folder
    write("mine.py", edited(MODEL))
    assert not resumed("auto")[1]
    with pytest.raises(UserError, match=r"other settings.*\[code of Mine\] was \w{16}, now it is \w{16}"):
        resumed(str(folder))


@pytest.mark.parametrize(
    ("name", "file", "text", "settings"),
    [
        ("base_model", "mine.py", MODEL, {}),
        ("tokenizer.method", "Ids.py", TOKENIZER, {"model": "TIGER", "tokenizer.method": "Ids"}),
        ("metrics", "Found.py", METRIC, {"metrics": ["Recall", "NDCG", "Found"]}),
        ("split", "Weekly.py", SPLIT, {"split": "Weekly"}),
        ("drafter", "mine.py", MODEL, {"model": "SpecGR_Aux", "drafter": "Mine"}),
    ],
)
def test_the_code_of_every_kind_of_class_counts(write, tiny_dataset, name, file, text, settings):
    write(file, text)
    settings = {**tiny_dataset, **settings}
    model = settings.pop("model", "Mine")

    def configured() -> dict:
        return Config(model, "tiny", config_dict=settings).to_dict()

    before = configured()
    assert re.fullmatch("[0-9a-f]{16}", before["file_digests"][name])
    assert not differences(before, configured())
    write(file, edited(text))
    assert differences(before, configured()).keys() == {name}
    kept = Config.from_dict(before).to_dict()
    assert kept["file_digests"] == before["file_digests"], "a run has the code that it was begun with"


def test_the_code_that_a_class_derives_from_counts(write, tiny_dataset):
    base = MODEL.replace("Mine", "Middle")
    write("middle.py", base)
    write("mine.py", "from recbole_specgr_baselines.middle import Middle\n\n\nclass Mine(Middle):\n    pass\n")
    write("Middle.yaml", "base: middle:Middle\n")

    def configured() -> dict:
        sys.modules.pop("recbole_specgr_baselines.mine", None)
        Config("Middle", "tiny", config_dict=tiny_dataset)  # imports what the other one derives from
        return Config("Mine", "tiny", config_dict=tiny_dataset).to_dict()

    before = configured()
    write("middle.py", edited(base))
    assert differences(before, configured()).keys() == {"base_model"}


def test_two_classes_of_one_file_stay_two(write, tiny_dataset):
    write("mine.py", f"{MODEL}\n\nclass Other(Mine):\n    pass\n")
    write("Other.yaml", "base: mine:Other\n")
    mine, other = (Config(model, "tiny", config_dict=tiny_dataset).to_dict() for model in ("Mine", "Other"))
    assert differences(mine, other).keys() == {"model", "base", "base_model"}


def test_a_model_of_the_package_keeps_no_digest_of_code(tiny_dataset):
    for model in ("TIGER", "SASRec", "SpecGR_Aux"):
        assert "file_digests" not in Config(model, "tiny", config_dict=tiny_dataset).to_dict()


def test_a_setting_that_was_added_for_an_own_class_counts():
    one, other = {"base": "mine:Mine", "a": 1}, {"base": "mine:Mine", "a": 1, "power": 3}
    assert differences(one, other) == {"power": (None, 3)} and differences(other, one) == {"power": (3, None)}
    assert not differences({**one, "base": "SASRec"}, {**other, "base": "SASRec"}), "it came with another version"
    assert not differences(one, {**one, "text_dim": 8}), "all models share it: it came with another version"
    assert not differences(one, {**one, "file_digests": {"base_model": "a"}}), "an earlier version kept none"


@pytest.mark.parametrize("line", ["from theirs import helper", "from .helper import value", "import theirs.helper"])
@pytest.mark.parametrize("where", ["at the top", "in a function"])
def test_the_code_of_what_its_file_imports_counts(write, tiny_dataset, tmp_path, monkeypatch, line, where):
    """Also what that imports in turn; but nothing that is installed, and nothing that is not imported."""
    package = tmp_path / "theirs"
    package.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    write("Mine.yaml", "base: theirs.model:Mine\n")
    inside = "pass" if where == "at the top" else f"def read(self):\n        {line}"
    files = {
        "__init__": "",
        "helper": "import numpy\nfrom theirs.further import value\n",
        "further": "from theirs import helper\n\nvalue = 1\n",
        "other": "value = 1\n",
        "model": (f"{line}\n" if where == "at the top" else "") + MODEL.replace("pass", inside),
    }

    def configured(**changed: str) -> dict:
        for name, text in {**files, **changed}.items():
            (package / f"{name}.py").write_text(text)
        for name in [name for name in sys.modules if name.partition(".")[0] == "theirs"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        for name in ("model", "helper", "further", "other"):
            importlib.import_module(f"theirs.{name}")
        return Config("Mine", "tiny", config_dict=tiny_dataset).to_dict()

    before = configured()
    assert not differences(before, configured(other="value = 22\n"))
    changed = files["further"].replace("1", "22")
    assert differences(before, configured(further=changed)).keys() == {"base_model"}


def test_imports_that_can_not_be_are_passed_over(write, tiny_dataset):
    """Such as one for when the file is part of a package."""
    guarded = "try:\n    from .helper import value\nexcept ImportError:\n    value = 1\n"
    write("mine.py", f"{guarded}{MODEL}")
    digests = Config("Mine", "tiny", config_dict=tiny_dataset).to_dict()["file_digests"]
    assert re.fullmatch("[0-9a-f]{16}", digests["base_model"])


def test_the_code_of_this_package_is_nobodys_helper(tmp_path, monkeypatch):
    """Also where the user's file lies beside it."""
    (tmp_path / "theirs_alone.py").write_text("import recbole_specgr.settings.registry\nimport json\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("theirs_alone")
    names = list(own_code._imports(module))
    assert names == ["recbole_specgr.settings.registry", "json"]
    monkeypatch.setattr(own_code, "_imports", lambda _: names)
    monkeypatch.setattr(module, "__file__", str(ROOT / "theirs_alone.py"))
    assert own_code._imported_by(module) == ()
