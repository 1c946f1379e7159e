"""What models need of the items: made from the data set, or read from the folder of a finished run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.items import make
from recbole_specgr.items.catalogue import ITEMS, Catalogue
from recbole_specgr.items.items import Items
from recbole_specgr.items.kept import NotKept, items_of_run
from recbole_specgr.items.make import make_items
from recbole_specgr.runs.folder import read_config
from recbole_specgr.semantic_ids import SemanticIds
from recbole_specgr.semantic_ids.fit import none_known
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError
from recbole_specgr.text.features import FEATURES


@pytest.fixture
def run(tiny_runs, tmp_path) -> Path:
    """A finished run of SpecGRPP that a test may change."""
    return Path(shutil.copytree(tiny_runs / "SpecGRPP", tmp_path / "run"))


def test_only_what_is_needed_is_made(tiny_dataset, monkeypatch):
    monkeypatch.setattr(make, "load_semantic_ids", lambda *arguments: pytest.fail("nobody needs ids"))
    config = Config("UniSRec", "tiny", config_dict=tiny_dataset)
    view = InductiveDataset(config).build()[0]
    items = make_items(config, view, ["text_vectors"], none_known)
    assert items.text_vectors.shape == (view.item_num, 16)
    assert items.semantic_ids is items.attributes is items.attribute_tokenizer is None
    assert vars(make_items(config, view, [], none_known)) == vars(Items())


def test_texts_are_encoded_once_for_vectors_and_ids(tiny_dataset, monkeypatch):
    calls, load = [], make.load_text_features

    def counted(config, view):
        calls.append(view)
        return load(config, view)

    monkeypatch.setattr(make, "load_text_features", counted)
    tokenizer = {"method": "rqkmeans", "codebook_size": 8, "levels": 2}
    config = Config("LIGER", "tiny", config_dict={**tiny_dataset, "tokenizer": tokenizer})
    items = make_items(config, InductiveDataset(config).build()[0], ["semantic_ids", "text_vectors"], none_known)
    assert len(calls) == 1 and items.semantic_ids.n_items == len(items.text_vectors)


def test_a_finished_run_gives_what_its_folder_keeps(run):
    config, catalogue = read_config(run), Catalogue.load(run / ITEMS)
    items = items_of_run(config, catalogue, ["text_vectors", "semantic_ids"])
    np.testing.assert_array_equal(items.text_vectors, np.load(run / FEATURES))
    kept = SemanticIds.load(run / "semantic_ids.npz", catalogue.item_tokens)
    assert items.semantic_ids.tokens.equal(kept.tokens)


def test_what_no_folder_keeps_is_named(run):
    config, catalogue = read_config(run), Catalogue.load(run / ITEMS)
    with pytest.raises(NotKept, match="the items' attribute tokenizer"):
        items_of_run(config, catalogue, ["attribute_tokenizer"])
    (run / FEATURES).unlink()
    with pytest.raises(NotKept, match="the items' text vectors"):
        items_of_run(config, catalogue, ["text_vectors"])


def test_files_that_do_not_fit_or_are_gone_are_errors(run):
    config, catalogue = read_config(run), Catalogue.load(run / ITEMS)
    np.save(run / FEATURES, np.load(run / FEATURES)[:-1])
    with pytest.raises(UserError, match=r"holds [\d,]+ text vectors, but the run has [\d,]+ items"):
        items_of_run(config, catalogue, ["text_vectors"])
    (run / "semantic_ids.npz").unlink()
    with pytest.raises(UserError, match=r"semantic_ids\.npz is gone"):
        items_of_run(config, catalogue, ["semantic_ids"])


def test_titles_are_shown_with_html_entities_resolved_and_kept_as_they_are(tmp_path):
    none = torch.zeros(3, dtype=torch.bool)
    raw = ["", "Tom &amp; Jerry &#39;49", "AT&T"]
    Catalogue(np.array(["[PAD]", "a", "b"], dtype=object), none, none, raw).save(tmp_path / ITEMS)
    loaded = Catalogue.load(tmp_path / ITEMS)
    assert loaded.titles == raw
    assert [loaded.title(row) for row in range(3)] == ["", "Tom & Jerry '49", "AT&T"]
