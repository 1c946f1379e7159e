"""docs/semantic_ids.md, followed from its first line, with models and tokenizers of seconds."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, follow_guide

GUIDE = (ROOT / "docs" / "semantic_ids.md").read_text(encoding="utf-8")
SMALL = """\
epochs: 1
train_batch_size: 4096
num_layers: 1
d_model: 16
d_kv: 8
d_ff: 16
num_beams: 10
topk: [10]
valid_metric: NDCG@10
eval_step: 0
MAX_ITEM_LIST_LENGTH: 2
show_progress: False
tokenizer: {rqvae: {warmup_epochs: 5, epochs: 30}}
"""


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder in which every block was run, and what each printed."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "properties" / "tuned" / "ml-100k").mkdir(parents=True)
    (folder / "properties" / "tuned" / "ml-100k" / "TIGER.yaml").write_text(SMALL)
    return folder, follow_guide(GUIDE, folder, ("recbole_specgr", "run_recbole.py"))


def test_every_block_does_what_the_page_says(followed):
    folder, (made, trained, tabled, coded) = followed
    ids = folder / "runs" / "ml-100k" / "semantic_ids"
    for method in ("rqvae", "letter", "cost", "rqkmeans", "opq", "hierarchical_kmeans"):
        assert f"Train on these ids: --semantic_ids=runs/ml-100k/semantic_ids/{method}" in made
        assert (ids / method / "report.html").is_file()
        assert f"| `{method}` |" in GUIDE
    assert "The semantic ids come from runs/ml-100k/semantic_ids/rqkmeans/semantic_ids.npz" in trained
    (run,) = (folder / "runs" / "ml-100k" / "TIGER").iterdir()
    assert (run / "tokenizer.npz").is_file()
    assert tabled.startswith("item_id,code_1,code_2,code_3\n")
    assert "'projection': (32, 32)" in coded


def test_a_part_of_ids_or_codebooks_gives_the_same_codes(followed):
    folder, _ = followed
    ids = folder / "runs" / "ml-100k" / "semantic_ids"

    def codes(path: Path) -> np.ndarray:
        with np.load(path / "semantic_ids.npz") as arrays:
            return arrays["codes"]

    np.testing.assert_array_equal(codes(folder / "runs/mine"), codes(ids / "opq"))
    np.testing.assert_array_equal(codes(folder / "runs/two_levels")[:, :2], codes(ids / "rqkmeans")[:, :2])
    report = json.loads((folder / "runs" / "mine" / "semantic_ids.json").read_text())
    assert report["ids"] == "given" and report["reconstruction"] is None
