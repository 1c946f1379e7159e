"""docs/your_data.md, followed from its first line as a new user would."""

import re
import subprocess
import sys

import yaml
from conftest import ROOT, follow_guide

from recbole_specgr.importing.item_table import read_items

GUIDE = (ROOT / "docs" / "your_data.md").read_text(encoding="utf-8")


def test_every_block_does_what_the_page_says(tmp_path):
    needs = ("scripts", "properties", "baselines", "recbole_specgr", "run_recbole.py")
    made, looked, imported, trained = follow_guide(GUIDE, tmp_path, needs)
    assert not made
    assert looked.startswith("Columns: user_id = [customer_id], item_id = [sku], timestamp = [created_at]")
    assert "Dry run: dataset/shop was not written." in looked
    assert "2-core was taken over the whole period" in imported
    assert {path.name for path in (tmp_path / "dataset/shop").iterdir()} == {"shop.inter", "shop.item", "shop.yaml"}
    settings = yaml.safe_load((tmp_path / "dataset/shop/shop.yaml").read_text())
    assert settings["text_fields"] == ["title", "description"]
    assert settings["selected_features"] == ["tags", "brand"]
    assert all(model in trained for model in ("SASRec", "SemanticKNN"))
    assert len(list((tmp_path / "runs/shop").glob("*/*/result.json"))) == 2


def test_every_option_of_the_page_is_one_that_the_programs_have(tmp_path):
    helps = "".join(
        subprocess.run(
            [sys.executable, str(ROOT / "scripts" / script), "--help"], capture_output=True, text=True, check=True
        ).stdout
        for script in ("import_dataset.py", "prepare_amazon.py")
    )
    files = ("overall.yaml", "model/SpecGR_Aux.yaml")  # the page has an option of each
    settings = {key for file in files for key in yaml.safe_load((ROOT / "properties" / file).read_text())}
    named = set(re.findall(r"--([a-z][\w.-]*)", GUIDE))
    unknown = {
        name
        for name in named
        if f"--{name}" not in helps and name.split(".")[0] not in {*settings, "model", "dataset", "epochs"}
    }
    assert not unknown


def test_lists_in_one_cell_are_split_as_the_page_says(tmp_path):
    cells = {"red|blue": ["red", "blue"], "red;blue": ["red", "blue"], "Drinks > Tea": ["Drinks", "Tea"]}
    for cell, expected in cells.items():
        path = tmp_path / "items.csv"
        path.write_text(f"sku,title,colours\nP1,Tea,{cell}\n")
        table = read_items(path, "sku", "sku", None, ["colours"], {})
        assert table.frame.loc["P1", "colours"] == expected
