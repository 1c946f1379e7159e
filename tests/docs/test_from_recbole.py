"""docs/from_recbole.md: its code runs, its file is read, and what it says of RecBole's words is so."""

import inspect
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest
from conftest import ROOT

import recbole_specgr
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.foreign import RECBOLE_WORDS

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


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed")
def test_recboles_quick_start_lacks_ray():
    done = subprocess.run([sys.executable, "-c", "import recbole.quick_start"], capture_output=True, text=True)
    assert "No module named 'ray'" in done.stderr
