"""The declared type and range of every setting, and the sentences that they become."""

import json
import math
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from conftest import ROOT

from recbole_specgr.commands import command_line
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.registry import GROUPS
from recbole_specgr.settings.schema import checked, read_schema, schema_beside
from recbole_specgr.system.errors import UserError

PROPERTIES = ROOT / "properties"
OVERALL = PROPERTIES / "overall.yaml"
MODELS = sorted((PROPERTIES / "model").glob("*.yaml"))
SCHEMAS = sorted([*PROPERTIES.rglob("*.schema.json"), *(ROOT / "baselines").glob("*.schema.json")])


def default_of(path: Path) -> dict:
    return yaml.safe_load(path.read_text()) or {}


def declared_for(path: Path) -> dict:
    """What is declared for a model's file: its own, its backbone's, what all share; RecBole's models' own."""
    if path == OVERALL:
        return schema_beside(OVERALL)
    backbone = default_of(path).get("backbone")
    below = declared_for(path.with_name(f"{backbone}.yaml")) if backbone else schema_beside(OVERALL)
    recbole = read_schema(PROPERTIES / "recbole_models.schema.json") if path.stem == "S3Rec" else {}
    return {**below, **recbole, **schema_beside(path)}


# ---- the files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_schema_file_is_one(path):
    content = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(content)
    for declared in content.get("properties", {}).values():
        assert declared["description"]
    read_schema(path)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_every_reference_leads_somewhere(path):
    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            node = list(node.values())
        for member in node if isinstance(node, list) else []:
            yield from references(member)

    for reference in references(json.loads(path.read_text())):
        file, _, name = reference.partition("#/$defs/")
        target = json.loads((path.parent / file).read_text())
        assert not name or name in target["$defs"]


def leaves(values: dict, declared: dict, prefix: str = ""):
    for key, value in values.items():
        assert key in declared, f"{prefix}{key}"
        if isinstance(value, dict) and "description" in next(iter(declared[key].get("properties", {}).values()), {}):
            yield from leaves(value, declared[key]["properties"], f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value, declared[key]


@pytest.mark.parametrize("path", [OVERALL, *MODELS], ids=lambda path: path.stem)
def test_every_default_has_a_type_that_allows_it(path):
    for name, value, schema in leaves(default_of(path), declared_for(path)):
        assert checked(name, value, schema, str(path)) == value


@pytest.mark.parametrize("path", [OVERALL, *MODELS], ids=lambda path: path.stem)
def test_every_declared_setting_has_a_default(path):
    """But for RecBole's own, and what a run is named by."""
    recbole = yaml.safe_load(
        (Path(pytest.importorskip("recbole").__file__).parent / "properties/overall.yaml").read_text()
    )
    from recbole.utils import argument_list

    of_recbole = {*recbole, *argument_list.dataset_arguments, "model", "additional_feat_suffix", "numerical_features"}
    of_recbole |= {"discretization", "kg_reverse_r", "entity_kg_num_interval", "relation_kg_num_interval"}
    missing = schema_beside(path).keys() - default_of(path).keys()
    assert missing <= (of_recbole if path == OVERALL else set())


@pytest.mark.parametrize("path", [OVERALL, *MODELS], ids=lambda path: path.stem)
def test_an_editor_finds_the_schema(path):
    assert path.read_text().splitlines()[0] == f"# yaml-language-server: $schema={path.stem}.schema.json"


@pytest.mark.parametrize(
    "path", sorted(PROPERTIES.glob("*/**/*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_the_schema_that_a_file_names_is_there(path):
    first = path.read_text().splitlines()[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert named == first or (path.parent / named).is_file()


def test_an_editor_offers_every_model_and_group_in_a_baseline_file():
    content = json.loads((PROPERTIES / "baseline.schema.json").read_text())
    assert set(content["properties"]["group"]["enum"]) == {*GROUPS, None}
    offered = {one["then"]["$ref"] for one in content["allOf"] if "then" in one}
    assert offered == {f"model/{path.stem}.schema.json" for path in MODELS} | {"recbole_models.schema.json"}
    for path in (ROOT / "baselines").glob("*.yaml"):
        assert path.read_text().startswith("# yaml-language-server: $schema=../properties/baseline.schema.json\n")


@pytest.mark.parametrize("model", ["SASRec", "GRU4Rec", "BERT4Rec", "NARM", "SHAN", "Caser", "FEARec", "SASRecCPR"])
def test_every_setting_of_recboles_models_has_a_type(tiny_dataset, model):
    own = yaml.safe_load(
        (Path(pytest.importorskip("recbole").__file__).parent / f"properties/model/{model}.yaml").read_text()
    )
    declared = {**schema_beside(OVERALL), **read_schema(PROPERTIES / "recbole_models.schema.json")}
    assert own.keys() <= declared.keys()
    Config(model, "tiny", config_dict=tiny_dataset)  # its defaults are allowed


# ---- what can't be -------------------------------------------------------------------------------------------------

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("model", "setting", "value", "says"),
    [
        ("SASRec", "learning_rate", NAN, "a number above 0, but is [nan], from config_dict: a number must be finite"),
        (
            "SASRec",
            "weight_decay",
            INFINITE,
            "a number from 0, but is [inf], from config_dict: a number must be finite",
        ),
        ("SASRec", "hidden_dropout_prob", 1.5, "a number from 0 and below 1, but is [1.5]"),
        ("SASRec", "attn_dropout_prob", -0.1, "a number from 0 and below 1, but is [-0.1]"),
        (
            "UniSRec",
            "hidden_dropout_prob",
            "much",
            "a number from 0 and below 1, but is [much], from config_dict: it is text",
        ),
        ("SASRec", "hidden_size", "64", "is [64], from config_dict: it is text, because of its quotes"),
        ("SASRec", "hidden_size", -64, "a whole number from 1 to 65,536, but is [-64]"),
        ("SASRec", "hidden_size", 1e30, "a whole number from 1 to 65,536, but is [1e+30]"),
        ("SASRec", "epochs", 1e30, "from config_dict: the largest is 2,147,483,647"),
        ("SASRec", "hidden_act", "x", "one of gelu, relu, swish, tanh, sigmoid, but is [x]"),
        ("SASRec", "train_batch_size", True, "a whole number from 1, but is [True]"),
        ("TIGER", "tokenizer.rqvae.latent_size", 0, "[tokenizer.rqvae.latent_size] must be a whole number from 1"),
        ("TIGER", "tokenizer.rqvae.decay", 1.5, "a number from 0 and below 1, but is [1.5]"),
        ("TIGER", "tokenizer.rqvae.hidden_sizes", [64, 0], "whole numbers from 1 to 65,536, but is [[64, 0]]"),
        (
            "TIGER",
            "tokenizer.method",
            3,
            "There is no [tokenizer.method: 3]. There are cost, hierarchical_kmeans, letter, opq, rqkmeans",
        ),
        ("TIGER", "clip_grad_norm", -1, "[clip_grad_norm] must be a number above 0"),
        ("TIGER", "normalizer", 0, "[normalizer] must be one of full, level, trie, but is [0]"),
        ("TIGER_C", "epsilon", 2, "a number from 0 to 1, but is [2]"),
        ("SpecGRPP", "backbone", 5, "[backbone] must be text, but is [5], from config_dict"),
        ("SpecGR_Aux", "draft_size", 0, "[draft_size] must be a whole number from 1, but is [0]"),
        ("SpecGRPP", "accept_threshold", NAN, "[accept_threshold] must be a number, but is [nan]"),
        ("SpecGRPP", "tune", {"draft_size": [50, 0]}, "[tune.draft_size] must be a whole number from 1, but is [0]"),
        (
            "SpecGRPP",
            "stages",
            {"finetune": {"weight_decay": -1}},
            "[stages.finetune.weight_decay] must be a number from 0",
        ),
        ("SASRec", "topk", "10,20", "from config_dict: it is text; in brackets it is a list, [10,20]"),
        ("SASRec", "text_fields", "title,genre", "it is text; in brackets it is a list, [title,genre]"),
        ("SASRec", "text_encoder", 5, "YAML reads it as a number; in quotes it is text, '5'"),
        ("SASRec", "text_encoder", False, "YAML reads it as a truth value; in quotes it is text, 'False'"),
        ("SASRec", "epochs", [3], "but is [[3]], from config_dict: it is a list"),
        ("SASRec", "launch_holdout", {"share": 2}, "[launch_holdout.share] must be a number above 0 and below 1"),
        (
            "SASRec",
            "launch_holdout",
            {"shar": 0.2},
            "[launch_holdout] has no member [shar], from config_dict: it has share, seed",
        ),
        ("SASRec", "timestamp_split", [0.8], "[timestamp_split] must be a list of 2 numbers"),
        ("SASRec", "seed", -1, "[seed] must be a whole number from 0"),
        ("SASRec", "data_path", 5, "[data_path] must be text, but is [5]"),
        ("SASRec", "metric_decimal_place", 400, "a whole number from 4 to 17"),
        ("SASRec", "learning_rate", 1e300, "a number above 0, but is [1e+300], from config_dict: the largest is 1e+30"),
        ("TIGER", "dropout_rate", 1, "a number from 0 and below 1, but is [1]"),
        ("SASRec", "transform", "x", "mask_itemseq, inverse_itemseq, crop_itemseq, reorder_itemseq, ~, but is [x]"),
        ("SASRec", "encoding", "x", "[encoding: x]: Python knows no such encoding"),
        ("SASRec", "USER_ID_FIELD", "x", "[USER_ID_FIELD] is [x], but the columns loaded are user_id,"),
        (
            "SASRec",
            "load_col",
            {"inter": ["user_id"]},
            "[ITEM_ID_FIELD] is [item_id], but the columns loaded are user_id: [load_col.inter].",
        ),
        (
            "SASRec",
            "train_neg_sample_args",
            {"distribution": "popularity"},
            "RecBole can't take these settings: train_neg_sample_args [",
        ),
        ("SASRec", "item_attribute", "a" * 3000, ": it has 3,000 characters, and 200 is the most."),
        ("SASRec", "data_path", "", "[data_path] must be text, but is [], from config_dict: it is empty."),
        ("SASRec", "wait_minutes", 0, "[wait_minutes] must be a number above 0"),
    ],
)
def test_a_value_that_can_not_be_is_one_sentence(tiny_dataset, model, setting, value, says):
    with pytest.raises(UserError) as caught:
        Config(model, "tiny", config_dict={**tiny_dataset, setting: value})
    assert says in str(caught.value)
    assert setting.split(".")[0] in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--model=SASRec --topk 10,20", "[topk] must be"),
        ("--model=SASRec --learning_rate=.nan", "[learning_rate] must be"),
        ("--model=SASRec --hidden_size=none_such", "[hidden_size] must be"),
        ("--model=TIGER --normalizer=0", "[normalizer] must be"),
        ("--model=SpecGR_Aux --draft_size=0", "[draft_size] must be"),
        ("--model=TIGER --tokenizer.rqvae.latent_size=0", "[tokenizer.rqvae.latent_size] must be"),
    ],
)
def test_it_ends_with_status_2_and_leaves_nothing(tiny_dataset, tmp_path, capsys, words, says):
    there = sorted(tmp_path.rglob("*"))
    given = [f"--{key}={value}" for key, value in tiny_dataset.items()]
    assert command_line.main([*words.split(), "--dataset=tiny", *given]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert says in error and "from the command line" in error
    assert sorted(tmp_path.rglob("*")) == there


@pytest.mark.parametrize(
    "place", ["overall", "dataset/tiny", "model/SASRec", "tuned/tiny/SASRec", "baselines", "dataset"]
)
def test_the_layer_is_named(tiny_dataset, tmp_path, place):
    path = tmp_path / "properties" / f"{place}.yaml"
    text = "weight_decay: -1\n"
    if place == "baselines":
        path, text = tmp_path / "baselines" / "Mine.yaml", f"base: SASRec\n{text}"
    if place == "dataset":
        path = tmp_path / "dataset" / "tiny" / "tiny.yaml"
        text = path.read_text() + text
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    with pytest.raises(UserError, match=r"\[weight_decay\] must be a number from 0, but is \[-1\]") as caught:
        Config("Mine" if place == "baselines" else "SASRec", "tiny", config_dict=tiny_dataset)
    assert f"from {path}" in str(caught.value)


def test_a_finished_runs_settings_are_checked(tiny_dataset):
    saved = Config("SASRec", "tiny", config_dict=tiny_dataset).to_dict()
    with pytest.raises(UserError, match=r"\[hidden_size\] must be .* but is \[wide\], from the run's settings"):
        Config.from_dict({**saved, "hidden_size": "wide"})


def test_a_finished_runs_class_is_named_by_text(tiny_dataset):
    saved = Config("SASRec", "tiny", config_dict=tiny_dataset).to_dict()
    with pytest.raises(UserError, match=r"\[base\] must be text, or ~, but is \[1\.5\], from the run's settings"):
        Config.from_dict({**saved, "base": 1.5})


def test_whole_numbers_may_be_written_with_an_exponent(tiny_dataset):
    epochs = Config("SASRec", "tiny", config_dict={**tiny_dataset, "epochs": 1e1})["epochs"]
    assert epochs == 10 and isinstance(epochs, int)


def test_numpy_numbers_and_paths_are_values(tiny_dataset, tmp_path):
    numpy = pytest.importorskip("numpy")
    given = {**tiny_dataset, "learning_rate": numpy.float64(0.5), "runs_path": tmp_path, "timestamp_split": (0.7, 0.8)}
    config = Config("SASRec", "tiny", config_dict=given)
    assert math.isclose(config["learning_rate"], 0.5)


# ---- a class of one's own ------------------------------------------------------------------------------------------

OWN = """\
from recbole.model.sequential_recommender import SASRec

class Mine(SASRec):
    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.half_life = config["half_life"]
"""
SASREC = "n_layers: 1\nn_heads: 1\nhidden_size: 8\ninner_size: 8\nloss_type: CE\n"


@pytest.fixture
def own_class(tiny_dataset, tmp_path):
    folder = tmp_path / "baselines"
    folder.mkdir()
    (folder / "mine.py").write_text(OWN)

    def write(settings: str, schema: dict | None = None) -> Config:
        (folder / "Mine.yaml").write_text(f"base: mine:Mine\n{SASREC}{settings}")
        if schema:
            (folder / "Mine.schema.json").write_text(json.dumps({"properties": schema}))
        read_schema.cache_clear()
        return Config("Mine", "tiny", config_dict=tiny_dataset)

    return write


@pytest.mark.parametrize(
    ("slip", "meant"),
    [("learning_rat", "learning_rate"), ("half_lif", "half_life"), ("hiden_dropout_prob", "hidden_dropout_prob")],
)
def test_a_slip_of_the_pen_with_an_own_class_is_found(own_class, slip, meant):
    with pytest.raises(UserError, match=rf"Unknown setting \[{slip}\] from .*Mine\.yaml.*\[{meant}\].*schema\.json"):
        own_class(f"half_life: 3\n{slip}: 1\n")


def test_an_own_class_may_have_settings_of_any_name(own_class):
    assert own_class("half_life: 3\nread_by_a_helper: 2\n")["read_by_a_helper"] == 2


def test_an_own_class_may_declare_types(own_class):
    half_life = {"half_life": {"type": "number", "exclusiveMinimum": 0}}
    others = {key: {"type": "integer"} for key in ("n_layers", "n_heads", "hidden_size", "inner_size")}
    others["loss_type"] = {"enum": ["CE"]}
    assert own_class("half_life: 3\n", {**half_life, **others})["half_life"] == 3
    with pytest.raises(UserError, match=r"\[half_life\] must be a number above 0, but is \[0\], from .*Mine\.yaml"):
        own_class("half_life: 0\n")
    with pytest.raises(UserError, match=r"Unknown setting \[read_by_a_helper\]"):
        own_class("half_life: 3\nread_by_a_helper: 2\n")


@pytest.mark.parametrize("name", [5, ["a"], True])
def test_a_display_name_is_text(own_class, name):
    with pytest.raises(UserError, match=r"\[display_name\] must be text, or ~, but is .* from .*Mine\.yaml"):
        own_class(f"display_name: {json.dumps(name)}\n")


# ---- what is written of them ---------------------------------------------------------------------------------------


def comments_of(path: Path) -> dict[str, str]:
    """Dotted name -> the comment beside it; a comment below, in the same column, goes on with it."""
    found: dict[str, str] = {}
    groups: list[tuple[int, str]] = []
    name, column = "", -1
    for line in path.read_text().splitlines():
        setting = re.match(r"( *)([\w.]+):(?:\s|$)", line)
        comment = re.search(r"(?:^|\s)# ?(.*)$", line)
        if setting:
            groups = [*(group for group in groups if group[0] < len(setting[1])), (len(setting[1]), setting[2])]
            name, column = ".".join(key for _, key in groups), line.find("#")
            if comment:
                found[name] = comment[1]
        elif comment and line.find("#") == column > 0:
            found[name] += f" {comment[1]}"
    return found


@pytest.mark.parametrize("path", [OVERALL, *MODELS], ids=lambda path: path.stem)
def test_a_comment_says_what_the_schema_says(path):
    said = {f"{name}": schema for name, _, schema in leaves(default_of(path), declared_for(path))}
    own = {name.split(".")[0] for name in schema_beside(path)}
    compared = 0
    for name, comment in comments_of(path).items():
        if name in said and name.split(".")[0] in own:
            assert said[name]["description"] == comment
            compared += 1
    assert compared or not own


def test_the_settings_page_is_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import settings_page

    assert settings_page.page() == (ROOT / "docs" / "settings.md").read_text(), "run python scripts/settings_page.py"


def test_help_says_what_a_value_must_be(capsys):
    assert command_line.main(["--model=TIGER", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "  dropout_rate: 0.1\n      dropout (a number from 0 and below 1)\n" in shown
    assert "published:" not in shown


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_a_number_that_no_float_holds_is_refused(tiny_dataset, value):
    for key in ("epochs", "learning_rate"):
        with pytest.raises(UserError, match=r"a number must be finite\.$") as caught:
            Config("SASRec", "tiny", config_dict={**tiny_dataset, key: value})
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("text", ["stages: 5\n", "tokenizer: 5\n", "tune: [1]\n", "true: 1\nlearning_rat: 1\n"])
def test_a_property_file_that_declares_nonsense_is_one_sentence(tiny_dataset, tmp_path, text):
    for name in ("model/SASRec", "overall"):
        path = tmp_path / "properties" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        with pytest.raises(UserError) as caught:
            Config("SASRec", "tiny", config_dict={**tiny_dataset, "learning_rte": 1})
        assert "\n" not in str(caught.value)
        path.unlink()
