"""examples/quick_tour.ipynb, run from its first cell with a training of seconds."""

import os
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from pages import SHORT_SPECGR, write_tuned

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")


@pytest.fixture
def notebook():
    return nbformat.read(ROOT / "examples" / "quick_tour.ipynb", as_version=4)


def test_it_is_kept_without_outputs(notebook):
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def printed(cell) -> str:
    """All that a cell printed and what its last line shows, as text."""
    outputs = [output.text if output.output_type == "stream" else output.data["text/plain"] for output in cell.outputs]
    return "".join(outputs)


def test_every_cell_does_what_the_text_says(notebook, tmp_path, monkeypatch):
    write_tuned(tmp_path, "ml-100k", "SpecGRPP", SHORT_SPECGR)
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    _, table, small, user, launched, explained, kept = (printed(c) for c in notebook.cells if c.cell_type == "code")
    assert "overall" in table and "unseen" in table and "recall@50" in table
    assert "SpecGR++" in small and "A random list" in small
    assert user.startswith("User 796: ") and "recommends" in user
    assert "item_id" in launched
    assert "The Last Comet" in explained and "digit 1: code" in explained
    assert "catalogue_changes.npz" in kept
