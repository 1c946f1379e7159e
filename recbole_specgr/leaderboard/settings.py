"""Which of a run's settings say what it is, and which only where and how it ran."""

from pathlib import PurePath
from typing import Any

# Settings that change nothing about the model that comes out.
ENVIRONMENT = {
    "seed",
    "gpu_id",
    "use_gpu",
    "worker",
    "state",
    "show_progress",
    "encoding",
    "data_path",
    "runs_path",
    "run_dir",
    "cache_path",
    "checkpoint_dir",
    "save_dataset",
    "save_dataloaders",
    "dataset_save_path",
    "dataloaders_save_path",
    "log_wandb",
    "wandb_project",
    "display_name",
    "group",
}
SOURCE = "_run"  # settings of this ending name a trained run whose parameters are taken over


def what_it_is(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that say what a run is, without those that are empty; a file by its name, wherever it is."""
    return {
        key: PurePath(value).name if isinstance(value, str) and PurePath(value).is_absolute() else value
        for key, value in settings.items()
        if value is not None and key not in ENVIRONMENT and not key.endswith(SOURCE)
    }


def compared(settings: dict[str, Any]) -> dict[str, Any]:
    """What two runs that differ in nothing but the seed have in common: not what was tuned after training."""
    plain = what_it_is(settings)
    return {key: value for key, value in plain.items() if key not in (plain.get("tune") or {})}
