"""What a finished run has to say, collected into its record: what was measured, by what, on what."""

import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from recbole_specgr import __version__
from recbole_specgr.data.statistics import interaction_statistics
from recbole_specgr.data.times import TIME_UNITS, time_unit
from recbole_specgr.runs.checks import read_record
from recbole_specgr.runs.comparison import SOURCE, sources, what_it_is
from recbole_specgr.runs.folder import CONFIG, read_settings
from recbole_specgr.runs.launch import started_as
from recbole_specgr.runs.moments import now
from recbole_specgr.runs.record import RESULT, SCHEMA, protocol_hash
from recbole_specgr.runs.unread import unread
from recbole_specgr.settings.config import Config
from recbole_specgr.settings.resources import PACKAGE

# A record with `repeatable: False` alone is older: its lists left out the history that a model reads, and no more.
WITHOUT_EARLIER_ITEMS = {"repeatable": False, "left_out": "all that the user has had"}
PACKAGES = ("torch", "recbole", "numpy", "pandas", "faiss-cpu")


def build_record(
    config: Config,
    valid: Any,
    dataset: Any,
    trainer: Any,
    valid_result: dict[str, float] | None,
    test_result: dict[str, float],
    parameters: dict[str, int],
) -> dict[str, Any]:
    """The record of a finished run.

    Args:
        valid: the valid view.
        dataset: the test view.
        trainer: after `fit` and the evaluation of test.
        parameters: number of all and of trained parameters.
    """
    protocol = {
        **dataset.protocol,
        "metrics": sorted(metric.lower() for metric in config["metrics"]),
        "topk": sorted(config["topk"]),
        **({} if config["repeatable"] else WITHOUT_EARLIER_ITEMS),
    }
    return {
        "schema": SCHEMA,
        "model": config["model"],
        "base_model": config["base_model"],
        "display_name": config["display_name"],
        "group": config["group"],
        "dataset": config["dataset"],
        "seed": config["seed"],
        "finished": now(),
        "metrics": {"valid": valid_result or {}, "test": test_result},
        "protocol": protocol,
        "protocol_hash": protocol_hash(protocol),
        "settings": what_it_is(config.to_dict()),
        **({"taken": taken} if (taken := _taken(config)) else {}),
        **({"unread": never_read} if (never_read := sorted(unread(config))) else {}),
        "data": {**interaction_statistics(dataset.split), "candidates": int(dataset.candidates.sum())},
        "validation": {"rows": len(valid), "of": valid.phase_rows},
        "training": {
            progress.stage: {
                "epochs": progress.epoch,
                "best_epoch": progress.best_epoch,
                "stopped": progress.stopped_by,
                "improving": progress.improving,
                "rows": progress.rows,
                "seconds": round(progress.seconds, 2),
                "rows_per_second": round(progress.rows / progress.seconds, 1) if progress.seconds else None,
                "history": progress.history,
            }
            for progress in trainer.progress.values()
        },
        "test": trainer.latency.summary(),
        **({"approximation": dict(trainer.model.approximation)} if trainer.model.approximation else {}),
        "parameters": parameters,
        "peak_memory_mb": _peak_memory(config["device"]),
        **environment(config),
    }


def _taken(config: Config) -> dict[str, dict[str, Any]]:
    """The runs that parameters were taken from: the setting that names each -> the digest of its record (None of a part
    of another run, which has none) and its settings."""
    taken = {}
    for key, source in sources(config.to_dict()).items():
        copied = Path(config["run_dir"], key.removesuffix(SOURCE))  # of a part; the run itself may be gone
        run = copied if (copied / CONFIG).is_file() else source
        record = read_record(run / RESULT)["digest"] if (run / RESULT).is_file() else None
        taken[key] = {"record": record, "settings": what_it_is(read_settings(run))}
    return taken


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Numbers of all parameters, of the trained ones, of those in embedding tables, and of all that stays as it is
    (frozen parameters and text features)."""
    trained = {id(parameter): parameter.numel() for parameter in model.parameters() if parameter.requires_grad}
    tables = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    total = sum(parameter.numel() for parameter in model.parameters())
    features = sum(buffer.numel() for buffer in model.buffers() if buffer.is_floating_point())
    return {
        "total": total,
        "trainable": sum(trained.values()),
        "embedding": sum(trained[key] for key in {id(table) for table in tables} & trained.keys()),
        "frozen": total - sum(trained.values()) + features,
    }


def environment(config: Config) -> dict[str, Any]:
    """By what and on what a number was measured."""
    return {
        "processes": config["world_size"],
        "hardware": _hardware(config["device"]),
        "versions": _versions(),
        "git_commit": _git_commit(),
        "command": started_as(sys.argv),
    }


def rank_columns(rows: Any, view: Any) -> dict[str, np.ndarray]:
    """What ranks.npz holds of each test row (`record.RANK_COLUMNS`).

    Args:
        rows: what the collector kept of the evaluation.
        view: the test view, in whose order the rows are.
    """
    _, items, times = view.interactions
    target = view.rows.numpy()
    seconds = (times[target] - view.first_seen.numpy()[items[target]]) / TIME_UNITS[time_unit(times)]
    trained = np.bincount(view.train_interactions[1], minlength=view.item_num)
    return {
        "rank": rows["rec.rank"].numpy().astype(np.int32),
        "unseen": rows["rec.unseen"].numpy(),
        "user": view.id2token(view.uid_field, rows["rec.user"].numpy()).astype(str),
        "item": view.id2token(view.iid_field, rows["rec.target"].numpy()).astype(str),
        "history": (view.rows - view.starts).numpy().astype(np.int32),
        "popularity": trained[items[target]].astype(np.int32),
        "age_days": (seconds / 86400).astype(np.float32),
    }


def _peak_memory(device: torch.device) -> dict[str, float]:
    """MB of main memory this process had at most, and of GPU memory that tensors had."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in kB elsewhere
    peak = {"host": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)}
    if device.type == "cuda":
        peak["gpu"] = round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    return peak


def _hardware(device: torch.device) -> dict[str, Any]:
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _versions() -> dict[str, str | None]:
    return {
        "python": platform.python_version(),
        "recbole_specgr": __version__,
        **{package: _version(package) for package in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of the checkout this package runs from, `+changes` when files differ from it; None outside of one."""
    root = PACKAGE.parent
    if not (root / ".git").exists():
        return None
    try:
        commit, changes = (
            subprocess.run(
                ["git", "-C", str(root), *command], capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if changes else commit
