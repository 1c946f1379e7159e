"""Two processes do what one does: gradients, training curves, lists, metrics, files; two torchruns over loopback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import distributed_jobs as jobs
import numpy as np
import pytest
import torch
from conftest import write_tiny_dataset

from recbole_specgr.quick_start import load_data_and_model
from recbole_specgr.training import make_trainer

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="needs gloo")


@pytest.fixture(scope="module")
def by_two(tmp_path_factory) -> dict:
    """`distributed_jobs.main` by two nodes of one process each; its results, and the `folder`."""
    folder = tmp_path_factory.mktemp("distributed")
    write_tiny_dataset(folder / "dataset")
    # Items of one text would have one score, and rounding would decide their order.
    vectors = np.random.default_rng(3).normal(size=(80, 8)).astype(np.float32)
    np.savez(folder / "features.npz", item_id=np.array([f"i{item}" for item in range(80)]), features=vectors)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", "--master_addr=127.0.0.1"]
    words += [f"--master_port={port}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    nodes = [
        subprocess.Popen(
            [sys.executable, *words, f"--node_rank={node}", str(ROOT / "tests" / "distributed_jobs.py"), str(folder)],
            env=environment,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for node in (0, 1)
    ]
    try:
        output = [node.communicate(timeout=400)[0] for node in nodes]
    finally:
        for node in nodes:
            node.kill()
    assert all(node.returncode == 0 for node in nodes), "\n".join(text[-3000:] for text in output)
    return {**json.loads((folder / "results.json").read_text()), "folder": folder}


def test_gathered_rows_have_the_gradient_of_one_process(by_two) -> None:
    assert np.allclose(by_two["gradient"], jobs.gathered_gradient(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("model", jobs.TRAINED)
def test_two_processes_train_what_one_trains(by_two, model, monkeypatch) -> None:
    """In float64, with unequal shares of each batch. Sums of another order are all that differs, at 1e-16 a term."""
    monkeypatch.chdir(by_two["folder"])
    trainer, metrics, curves = jobs.trained(model, by_two["folder"])
    assert metrics == by_two["metrics"][model]
    for stage, curve in curves.items():
        assert len(curve) == 2
        for ours, theirs in zip(curve, by_two["curves"][model][stage]):
            assert ours == pytest.approx(theirs, rel=1e-10)
    theirs = torch.load(by_two["folder"] / f"{model}-by-two.pt")
    for name, value in trainer.model.state_dict().items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=1e-9, msg=name)
    if model == "TIGER":  # FSDP's run was interrupted, too
        assert by_two["curves"]["fsdp"]["train"] == [pytest.approx(entry, rel=1e-10) for entry in curves["train"]]
        for name, value in torch.load(by_two["folder"] / "fsdp-by-two.pt").items():
            torch.testing.assert_close(value, trainer.model.state_dict()[name], rtol=0, atol=1e-9, msg=name)
    assert torch.equal(trainer.rows["rec.items"], torch.load(by_two["folder"] / f"{model}-lists-by-two.pt"))


def test_two_processes_and_a_resumed_run_train_the_same_under_leave_one_out(by_two, monkeypatch) -> None:
    monkeypatch.chdir(by_two["folder"])
    _, metrics, curves = jobs.trained("UniSRec", by_two["folder"], split="leave_one_out")
    theirs, their_curves = by_two["leave_one_out"]
    assert metrics == theirs != by_two["metrics"]["UniSRec"]
    assert their_curves["train"] == [pytest.approx(entry, rel=1e-10) for entry in curves["train"]]


def test_vectors_that_an_epoch_began_with_are_those_of_all_processes(by_two, monkeypatch) -> None:
    """Recformer keeps the items' vectors in a buffer. Spread over two processes, interrupted and gone on with in the
    middle of an epoch, it has those of one process; so has one process that was interrupted."""
    monkeypatch.chdir(by_two["folder"])
    _, metrics, curves = jobs.trained("Recformer", by_two["folder"])
    _, resumed_metrics, resumed_curves = jobs.trained("Recformer", by_two["folder"], interrupted=True)
    assert (resumed_metrics, resumed_curves) == (metrics, curves)
    assert by_two["metrics"]["Recformer"] == metrics
    for stage, curve in curves.items():
        assert by_two["curves"]["Recformer"][stage] == [pytest.approx(entry, rel=1e-10) for entry in curve]


def test_recboles_sampler_goes_on_in_the_middle_of_an_epoch(by_two) -> None:
    """Two processes that go on with SASRec learn the rows that are left of the epoch, and no others."""
    (metrics, curves), (resumed_metrics, resumed_curves) = by_two["SASRec_False"], by_two["SASRec_True"]
    assert resumed_metrics == metrics
    assert resumed_curves["train"] == [pytest.approx(entry, rel=1e-10) for entry in curves["train"]]


def test_one_process_loads_what_two_have_trained(by_two) -> None:
    run_dir = Path(by_two["runs"]["SASRec"])
    config, model, *_, test = load_data_and_model(run_dir)
    trainer = make_trainer(config, model)
    record = json.loads((run_dir / "result.json").read_text())
    assert record["processes"] == 2
    assert trainer.evaluate(test, load_best_model=False) == record["metrics"]["test"]
    assert trainer.rows["rec.rank"].tolist() == np.load(run_dir / "ranks.npz")["rank"].tolist()
