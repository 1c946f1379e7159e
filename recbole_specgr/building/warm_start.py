"""What a model begins its training with, beside new parameters: those of another run, and rows of other data sets."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from recbole.data.dataset import Dataset

from recbole_specgr.building.collaborative import collaborative_of
from recbole_specgr.building.plan import Plan
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.items.items import Items
from recbole_specgr.items.make import make_items
from recbole_specgr.models.contract import Pretrained
from recbole_specgr.runs.folder import CONFIG, read_settings, why_no_run
from recbole_specgr.settings.config import Config
from recbole_specgr.system.errors import UserError

# What the other data sets have in common with the run's; all else is in their own files.
SHARED = (
    *("data_path", "cache_path", "use_gpu", "gpu_id", "show_progress", "seed"),
    *("text_encoder", "text_dim", "text_precision", "text_standardise"),
    *("split", "timestamp_split", "MAX_ITEM_LIST_LENGTH"),
    *("metrics", "topk", "valid_metric"),
)


def warm_start(plan: Plan, model: Any) -> None:
    """Give the model, and those of its parts that are trained, what their settings name to begin with.

    Raises:
        UserError: parameters or a data set that are not there, or do not fit.
    """
    for name, part in plan.parts.items():
        if not part.taken:
            warm_start(part, model.parts[name])
    setting = plan.model_class.joins_datasets
    if setting and plan.config[setting]:
        model.join([_other_data(plan, name) for name in plan.config[setting]])
    if plan.config["pretrained"] and not plan.trained_before:
        model.start_from(read_pretrained(Path(plan.config["pretrained"])))


def read_pretrained(path: Path) -> Pretrained:
    """The parameters in a checkpoint, in that of a run's last stage, or in a file of torch that other programs wrote.

    Args:
        path: a run's folder or a file.

    Raises:
        UserError: there is no such file or no run in the folder, or it holds no parameters.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (why := why_no_run(path)) is not None:
        raise UserError(f"[pretrained: {path}]: {why}")
    settings = read_settings(folder) if (folder / CONFIG).is_file() else None
    file = path / f"{list(settings['stages'])[-1]}.pth" if settings and path.is_dir() else path
    if not file.is_file():
        raise UserError(f"[pretrained: {path}]: there is no such file.")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UserError(f"[pretrained: {path}] holds no parameters that torch can read ({reason}).") from error
    return Pretrained(path, content.get("state_dict", content), settings)


def _other_data(plan: Plan, name: str) -> tuple[Dataset, Items]:
    """The train view of another data set, and what the model needs of its items."""
    ours = plan.config.to_dict()
    config = Config(plan.config["model"], name, config_dict={key: ours[key] for key in SHARED})
    view = InductiveDataset(config).build()[0]
    return view, make_items(config, view, plan.model_class.needs, collaborative_of(config, view))
