"""A model that is made of other models, each of them trained as if it were alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.utils import InputType
from torch import nn

from recbole_specgr.models.contract import adapted
from recbole_specgr.runs.checkpoint import load_checkpoint, restore_model
from recbole_specgr.runs.folder import CONFIG, check_finished, checkpoint_of, read_config, write_config
from recbole_specgr.system.processes import first_rank_first

MACHINE = ("data_path", "cache_path", "use_gpu", "gpu_id", "show_progress")
NOT_COPIED = ("last.pth", "log.txt", "tensorboard")


class CompositeRecommender(SequentialRecommender):
    """Subclasses call `add_part` for each part, in the order in which they are trained, and rank by `parts`.

    The part NAME is the model that the setting NAME names, with `NAME_settings` over its own property files. It is
    trained in the folder NAME of the run's, which is laid out like a run; or it is taken from a finished run, which the
    setting `NAME_run` names, and copied there.

    Attributes:
        parts: the models.
        part_configs: their settings.
        taken: names of the parts that come from other runs and are not trained.
    """

    input_type = InputType.POINTWISE

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.parts = nn.ModuleDict()
        self.part_configs: dict[str, Config] = {}
        self.taken: set[str] = set()

    def add_part(self, name: str, config: Config, dataset: Dataset, inherits: bool = False) -> SequentialRecommender:
        """Build the part `name`.

        Args:
            config: of the whole.
            dataset: the train view.
            inherits: the part takes the settings that it knows from the whole (see `Config.part`).

        Raises:
            UserError: no such model or setting; a run that is not finished, or of another model or other data.
        """
        folder = Path(config["run_dir"]) / name if config["run_dir"] else None
        run = Path(config[f"{name}_run"]) if config[f"{name}_run"] else None
        machine = {key: config.to_dict()[key] for key in MACHINE}
        with first_rank_first():
            if run and not (folder and (folder / CONFIG).is_file()):
                check_finished(run, config[name], dataset, f"[{name}_run]")
                if folder:
                    _copy_run(run, folder)
            if run or (folder and (folder / CONFIG).is_file()):
                part_config = read_config(folder or run, machine)
            else:
                given = {**(config[f"{name}_settings"] or {}), **config["stages"][name]}
                part_config = config.part(config[name], given, f"the settings of [{name}]", inherits)
                if folder:
                    part_config["run_dir"] = part_config["checkpoint_dir"] = str(folder)
                    write_config(folder, part_config)
        part = adapted(part_config.model_class)(part_config, dataset)
        if run:
            file = checkpoint_of(folder or run, part_config)
            restore_model(part, load_checkpoint(file), file)
            self.taken.add(name)
        self.parts[name], self.part_configs[name] = part, part_config
        return part

    def other_parameter(self) -> dict[str, Any]:
        """RecBole's hook: what the parts keep beside their parameters."""
        return {
            name: {key: value for key, value in part.other_parameter().items() if not isinstance(value, nn.Module)}
            for name, part in self.parts.items()
        }

    def load_other_parameter(self, para: dict[str, Any] | None) -> None:
        for name, value in (para or {}).items():
            self.parts[name].load_other_parameter(value)


def _copy_run(run: Path, folder: Path) -> None:
    """Copy a run whole or, when interrupted, not at all."""
    partial = folder.with_name(f".{folder.name}")
    for left in (partial, folder):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(run, partial, ignore=shutil.ignore_patterns(*NOT_COPIED))
    partial.rename(folder)
