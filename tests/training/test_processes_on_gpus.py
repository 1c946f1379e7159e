"""Two processes train and rank on GPUs as one does: on one GPU that they share, by gloo; on two, by nccl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, write_tiny_dataset
from tiny_runs import TINY_SPECGR

# No dropout: each process draws its own.
SETTINGS = {**TINY_SPECGR, "epochs": 2, "dropout_rate": 0.0, "text_dim": 16}
# A machine without a network may not know its own name, by which gloo would look for a device.
LOOPBACK = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("on-gpus")
    write_tiny_dataset(folder / "dataset")
    return folder


@pytest.fixture(scope="module", params=["pretended", pytest.param("real", marks=pytest.mark.gpu)])
def use_gpu(request) -> bool:
    """False where there is no GPU: then the same is done by two processes on the CPU."""
    if request.param == "real" and not request.config.getoption("--pretend-gpu"):
        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA GPU")
        return True
    return False


def result(folder: Path, use_gpu: bool, processes: int, **settings) -> dict:
    """The record of SpecGR++, trained by torchrun."""
    settings = {
        "data_path": folder / "dataset",
        "cache_path": folder / "cache",
        "run_dir": folder / "-".join(["run", str(processes), str(use_gpu), *map(str, settings.values())]),
        "use_gpu": use_gpu,
        "show_progress": False,
        **SETTINGS,
        **settings,
    }
    words = [f"--{key}={value if isinstance(value, Path) else json.dumps(value)}" for key, value in settings.items()]
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    done = subprocess.run(
        [sys.executable, *launch, "-m", "recbole_specgr", "--model=SpecGRPP", "--dataset=tiny", *words],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), **LOOPBACK},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return json.loads((settings["run_dir"] / "result.json").read_text())


@pytest.fixture(scope="module")
def one(folder, use_gpu) -> dict:
    """The record of a single process."""
    return result(folder, use_gpu, 1)


@pytest.mark.parametrize(
    ("gpus", "settings"),
    [
        (1, {"gpu_id": "0,0"}),
        (2, {"gpu_id": "0,1"}),
        (2, {"gpu_id": "1,0"}),
        (2, {"gpu_id": "0,1", "parallel": "fsdp"}),
    ],
)
def test_two_processes_do_what_one_does(folder, use_gpu, one, gpus, settings) -> None:
    if not use_gpu and (gpus > 1 or not torch.distributed.is_gloo_available()):
        pytest.skip("one pretended GPU is enough")
    if use_gpu and torch.cuda.device_count() < gpus:
        pytest.skip(f"needs {gpus} CUDA GPUs")
    two = result(folder, use_gpu, 2, **settings)
    assert (one["processes"], two["processes"]) == (1, 2)
    for stage, training in one["training"].items():
        losses = [epoch["loss"] for epoch in training["history"]]
        assert [epoch["loss"] for epoch in two["training"][stage]["history"]] == pytest.approx(losses, rel=0.01), stage
    for part, metrics in one["metrics"].items():
        assert two["metrics"][part] == pytest.approx(metrics, abs=0.05), part
