"""Names -> models, baselines and data sets."""

import pkgutil

import pytest
from conftest import ROOT
from recbole.model import sequential_recommender
from recbole.utils import get_model as get_recbole_model

from recbole_specgr.settings.config import Config
from recbole_specgr.settings.datasets import find_dataset
from recbole_specgr.settings.named_classes import split_class
from recbole_specgr.settings.registry import get_model, list_models, resolve
from recbole_specgr.system.errors import UserError


@pytest.fixture
def baseline(tmp_path, monkeypatch):
    """Write `baselines/<name>` in the working directory, which is `tmp_path`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "baselines").mkdir()

    def write(name, text):
        (tmp_path / "baselines" / name).write_text(text, encoding="utf-8")

    return write


@pytest.mark.parametrize("name", list_models()["recbole"])
def test_recbole_models_are_recboles(name):
    assert get_model(name) is get_recbole_model(name)


def test_no_recbole_model_is_missing():
    modules = {module.name for module in pkgutil.iter_modules(sequential_recommender.__path__)}
    assert {name.lower() for name in list_models()["recbole"]} == modules


def test_every_model_of_ours_is_found():
    for name in list_models()["recbole_specgr"]:
        assert get_model(name).__name__ == name
        assert get_model(name).__module__ == f"recbole_specgr.models.{name.lower()}"


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("SpecGR++", "SpecGRPP"),
        ("specgr++", "SpecGRPP"),
        ("SpecGRPlusPlus", "SpecGRPP"),
        ("specgr_pp", "SpecGRPP"),
        ("tiger", "TIGER"),
        ("S3-Rec", "S3Rec"),
        ("sasrec", "SASRec"),
        ("SASREC-SMALL", "SASRec_small"),
    ],
)
def test_names_are_read_with_tolerance(typed, name):
    assert resolve(typed).name == name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SASRek", ["[SASRek]", "[SASRec]"]),
        ("TIGRE", ["[TIGRE]", "[TIGER]"]),
        ("BPR", ["[BPR]", "not a sequential model"]),
        ("../SASRec", ["--list-models"]),
        ("", ["--list-models"]),
    ],
)
def test_an_unknown_model_is_explained(name, words):
    with pytest.raises(UserError) as caught:
        get_model(name)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("model", "words"), [("DIN", "rank all items"), ("GRU4RecKG", r"tiny\.ent")])
def test_models_that_cannot_be_ranked_or_lack_a_file_are_explained(tiny_dataset, model, words):
    with pytest.raises(UserError, match=words):
        Config(model, "tiny", config_dict=tiny_dataset)


def test_a_baseline_is_one_file(baseline, tiny_dataset):
    baseline("Half.yaml", "base: SASRec\nhidden_size: 32\n")
    assert "Half" in list_models()["baselines"]
    config = Config("half", "tiny", config_dict=tiny_dataset)
    assert (config["model"], config["base_model"], config["hidden_size"]) == ("Half", "SASRec", 32)
    assert config.model_class is get_model("SASRec")
    assert Config("half", "tiny", config_dict={**tiny_dataset, "hidden_size": 8})["hidden_size"] == 8


OWN = "from recbole.model.sequential_recommender import SASRec\n\nclass Mine(SASRec):\n    inductive = True\n"


def test_a_baseline_may_bring_its_class(baseline, tiny_dataset, tmp_path):
    baseline("own_model.py", OWN)
    settings = "n_layers: 1\nn_heads: 1\nhidden_size: 8\ninner_size: 8\nhidden_dropout_prob: 0.1\nloss_type: CE\n"
    baseline("Own.yaml", f"base: own_model:Mine\nmy_setting: 3\n{settings}")
    config = Config("Own", "tiny", config_dict={**tiny_dataset, "my_setting": 4})
    assert (config["model"], config["base_model"], config["my_setting"]) == ("Own", "Mine", 4)
    assert config.model_class.inductive
    with pytest.raises(UserError, match="my_setting"):
        Config("Own", "tiny", config_dict={**tiny_dataset, "my_seting": 4})
    saved = config.to_dict()
    (tmp_path / "baselines" / "Own.yaml").unlink()  # a run is loaded without the baseline's file
    assert Config.from_dict(saved).model_class is config.model_class
    assert Config.from_dict(saved)["model"] == "Own"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hidden_size: 32\n", ["Bad.yaml", "base"]),
        ("base: SASRek\n", ["Bad.yaml", "[SASRek]", "[SASRec]"]),
        ("base: no_such_module:Mine\n", ["Bad.yaml", "no_such_module"]),
        ("base: own_model:Yours\n", ["Bad.yaml", "Yours"]),
        ("base: broken:Broken\n", ["Bad.yaml", "broken.py, line 2, is no Python"]),
        ("base: plain:Plain\n", ["[Bad]", "Plain", "SequentialRecommender"]),
        ("base: Bad\n", ["Bad.yaml", "[Bad]", "is a baseline file itself"]),
        ("base: SASRec\nhiden_size: 32\n", ["Bad.yaml", "[hiden_size]", "[hidden_size]"]),
        ("base: [\n", ["Bad.yaml", "YAML"]),
    ],
)
def test_a_wrong_baseline_is_explained(baseline, tiny_dataset, text, words):
    baseline("own_model.py", OWN)
    baseline("broken.py", "import os\nclass Broken(:\n")
    baseline("plain.py", "class Plain:\n    pass\n")
    baseline("Bad.yaml", text)
    with pytest.raises(UserError) as caught:
        Config("Bad", "tiny", config_dict=tiny_dataset)
    for word in words:
        assert word in str(caught.value)


def test_the_working_directorys_baseline_goes_first(baseline):
    baseline("SASRec_small.yaml", "base: GRU4Rec\n")
    assert resolve("SASRec_small").model_class is get_model("GRU4Rec")


@pytest.mark.parametrize("file", sorted((ROOT / "baselines").glob("*.yaml")), ids=lambda file: file.stem)
def test_our_baselines_can_be_configured(file):
    assert Config(file.stem, config_dict={"use_gpu": False})["model"] == file.stem


@pytest.mark.parametrize("file", sorted((ROOT / "properties").glob("model/*.yaml")), ids=lambda file: file.stem)
def test_every_property_file_has_its_model(file):
    assert resolve(file.stem).name == file.stem
    assert Config(file.stem, config_dict={"use_gpu": False})["stages"]


@pytest.mark.parametrize("file", sorted((ROOT / "properties").glob("tuned/*/*.yaml")), ids=lambda file: file.stem)
def test_every_tuned_file_has_its_model(file):
    assert resolve(file.stem).name == file.stem
    if file.parent.name == "ml-100k":
        assert Config(file.stem, config_dict={"use_gpu": False})["model"] == file.stem


def test_data_sets_of_the_user_go_before_recboles_examples(tiny_dataset, tmp_path):
    assert find_dataset("tiny", tmp_path / "dataset") == tmp_path / "dataset" / "tiny"
    assert find_dataset("ml-100k", tmp_path / "dataset").parent.name == "dataset_example"
    own = tmp_path / "dataset" / "ml-100k"
    own.mkdir()
    (own / "ml-100k.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n", encoding="utf-8")
    assert find_dataset("ml-100k", tmp_path / "dataset") == own


OWN_TOKENIZER = """
from dataclasses import dataclass
from recbole_specgr.semantic_ids.tokenizers.rqkmeans import RQKMeans

@dataclass
class Mine(RQKMeans):
    share: float = 0.5
"""


def test_the_class_of_a_tokenizer_of_ones_own_declares_its_settings(tmp_path, baseline):
    baseline("Mine.py", OWN_TOKENIZER)
    tuned = tmp_path / "properties" / "tuned" / "ml-100k" / "TIGER.yaml"
    tuned.parent.mkdir(parents=True)
    tuned.write_text("tokenizer: {method: mine, Mine: {iterations: 7, restarts: 2}}")
    config = Config("TIGER", "ml-100k", config_dict={"tokenizer.Mine.restarts": 4, "use_gpu": False})
    group = config["tokenizer"]["Mine"]
    assert group == {"components": 32, "iterations": 7, "restarts": 4, "balanced": False, "share": 0.5}
    with pytest.raises(UserError, match=r"tokenizer.Mine.shar\].*config_dict.*\[share\]"):
        Config("TIGER", "ml-100k", config_dict={"tokenizer.Mine.shar": 0.1, "use_gpu": False})
    with pytest.raises(UserError, match=r"no \[tokenizer.method: Yours\].*rqvae.*baselines/Yours.py"):
        Config("TIGER", "ml-100k", config_dict={"tokenizer.method": "Yours", "use_gpu": False})


def test_what_is_named_must_be_of_the_kind_that_is_wanted(baseline):
    baseline("Mine.py", OWN_TOKENIZER)
    with pytest.raises(UserError, match=r"\[split: Mine\]: Mine does not derive from .*data.splits.contract.Split"):
        split_class("Mine")
    with pytest.raises(UserError, match=r"\[split: Mine:Yours\].*has no class Yours"):
        split_class("Mine:Yours")


def test_a_class_whose_file_is_gone_says_which_file_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"No module named 'Gone'\. Its file Gone\.py must be in baselines/"):
        split_class("Gone:Gone")
