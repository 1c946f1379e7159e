"""docs/from_recbole.md: its code runs, its file is read, and what it says of RecBole's words is so."""

import inspect
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

import recbole_specgr
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.foreign import RECBOLE_WORDS
from recbole_specgr.settings.resources import package_folder
from recbole_specgr.settings.yaml_values import read_mapping

PAGE = (ROOT / "docs" / "from_recbole.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return found


def test_the_code_runs(tmp_path):
    done = subprocess.run([sys.executable, "-c", block("python")], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    score, recall, run_dir = done.stdout.split()[-3:]
    assert float(score) > 0 and float(recall) > 0
    assert (tmp_path / run_dir / "result.json").is_file()


def test_the_function_takes_recboles_arguments():
    """RecBole's: model, dataset, config_file_list, config_dict, saved."""
    arguments = list(inspect.signature(recbole_specgr.run_recbole).parameters)
    assert arguments[:5] == ["model", "dataset", "config_file_list", "config_dict", "saved"]


def test_several_models_share_the_file(tmp_path, caplog):
    (tmp_path / "shared.yaml").write_text(block("yaml"))
    for model, left_out in (("SASRec", ["eval_args"]), ("GRU4Rec", ["n_heads", "eval_args"])):
        caplog.clear()
        config = Config(model, "ml-100k", [str(tmp_path / "shared.yaml")], {"use_gpu": False})
        assert config["epochs"] == 20 and [re.search(r"\[(\w+)", text)[1] for text in caplog.messages] == left_out


def test_every_explained_word_is_on_the_page():
    assert [word for word in RECBOLE_WORDS if f"--{word}" not in PAGE] == []


def table_of_defaults() -> dict[str, tuple[str, str]]:
    """Setting -> RecBole's default and ours, as the page has them."""
    rows = PAGE.partition("| setting | RecBole | here | why |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]
    return {name: (theirs, ours) for name, theirs, ours, _ in cells}


def test_the_table_of_defaults_is_so_and_whole():
    """RecBole's as its Config reads them for a sequential model, lowest first; ours from overall.yaml."""
    properties = package_folder("recbole") / "properties"
    files = ("overall.yaml", "dataset/sample.yaml", "quick_start_config/sequential.yaml")
    theirs: dict = {}
    for file in files:
        theirs |= read_mapping(properties / file)
    ours, table = read_mapping(ROOT / "properties" / "overall.yaml"), table_of_defaults()
    differing = {key for key in theirs.keys() & ours.keys() if theirs[key] != ours[key]}
    assert differing == table.keys() - {"preset", "split", "launch_holdout", "rm_dup_inter"}
    for key in differing:
        assert tuple(map(yaml.safe_load, table[key])) == (theirs[key], ours[key]), key
    for key in ("preset", "split", "launch_holdout"):
        assert key not in theirs and yaml.safe_load(table[key][1]) == ours[key]
    assert theirs["eval_args"]["split"] == {"LS": "valid_and_test"} and theirs["rm_dup_inter"] is None
    assert table["rm_dup_inter"] == ("~", "first")


def test_what_the_page_says_of_ml_100k_is_so():
    ours, said = read_mapping(ROOT / "properties" / "dataset" / "ml-100k.yaml"), " ".join(PAGE.split())
    assert f"{ours['MAX_ITEM_LIST_LENGTH']} on ml-100k" in said and f"ml-100k has `{ours['preset']}`" in said
    (holdout,) = re.findall(r"on ml-100k `(\{.*?\})`", said)
    assert yaml.safe_load(holdout) == ours["launch_holdout"]
    theirs = read_mapping(package_folder("recbole") / "properties" / "dataset" / "ml-100k.yaml")
    assert theirs["normalize_all"] is True and "RecBole's ml-100k has True" in said


@pytest.mark.parametrize("kept", [None, "first"])
def test_repeated_pairs_count_once_also_where_rm_dup_inter_is_empty(kept, tiny_dataset):
    folder = Path(tiny_dataset["data_path"]) / "tiny"
    lines = (folder / "tiny.inter").read_text().splitlines()
    user, item, _ = lines[1].split("\t")
    (folder / "tiny.inter").write_text("\n".join([*lines, f"{user}\t{item}\t1700000000"]) + "\n")
    dataset = InductiveDataset(Config("SASRec", "tiny", config_dict={**tiny_dataset, "rm_dup_inter": kept}))
    assert len(dataset.inter_feat) == len(lines) - 1


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_recboles_quick_start_lacks_ray():
    done = subprocess.run([sys.executable, "-c", "import recbole.quick_start"], capture_output=True, text=True)
    assert "No module named 'ray'" in done.stderr
