"""Training a model that is made of others."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from recbole.data.utils import create_samplers, get_dataloader
from recbole.trainer import Trainer as RecBoleTrainer

from recbole_specgr.runs.checkpoint import load_checkpoint
from recbole_specgr.runs.folder import LAST
from recbole_specgr.settings.config import Config
from recbole_specgr.system.files import remove_unfinished
from recbole_specgr.training.progress import StageProgress
from recbole_specgr.training.staged import StagedTrainer


class CompositeTrainer(StagedTrainer, RecBoleTrainer):
    """Trains each part by the trainer, the stages and the early stopping that it would have alone.

    A part's checkpoints are in its own folder; `last.pth` there is what resuming goes on from. The checkpoint of the
    whole is written when all of them are trained.

    Args:
        make_trainer: gives a part's trainer, from its settings and the part.
    """

    _resumes = False

    def __init__(self, config, model, make_trainer: Callable[[Config, Any], StagedTrainer]):
        super().__init__(config, model)
        self._make_trainer = make_trainer

    def _build_optimizer(self, **kwargs):
        return None  # the parts have theirs

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, show_progress=False, callback_fn=None):
        """Train the parts and return (valid score, valid result) of the whole."""
        if self._leads:
            remove_unfinished(self.run_dir)
        self.evaluation_folder = self.run_dir / "evaluation" if saved else None
        if saved:
            self._write_last()
        for name in self.model.parts:
            config = self.model.part_configs[name]
            if name in self.model.taken:
                self.logger.info(f"{name}: {config['model']}, trained before")
                continue
            self.logger.info(f"{name}: {config['model']}")
            for stage, progress in self._fit_part(name, train_data, valid_data, verbose, saved, show_progress).items():
                label = name if len(config["stages"]) == 1 else f"{name}.{stage}"
                self.progress[label] = replace(progress, stage=label)
        if valid_data:
            self.best_valid_score, self.best_valid_result = self._valid_epoch(valid_data, show_progress)
        if saved:
            self._save(Path(self.saved_model_file))
        return self.best_valid_score, self.best_valid_result

    def _fit_part(self, name, train_data, valid_data, verbose, saved, show_progress) -> dict[str, StageProgress]:
        config = self.model.part_configs[name]
        trainer = self._make_trainer(config, self.model.parts[name])
        trainer.resume_dir = self.run_dir
        last = trainer.run_dir / LAST
        if self._resumes and last.is_file():
            trainer.resume_checkpoint(last)
        views = [data._dataset for data in (train_data, valid_data) if data]
        sampler, *_ = create_samplers(config, views[0], [views[0], views[-1], views[-1]])
        train_data = get_dataloader(config, "train")(config, views[0], sampler, shuffle=config["shuffle"])
        if valid_data:
            valid_data = get_dataloader(config, "valid")(config, views[1], None, shuffle=False)
        trainer.fit(train_data, valid_data, verbose, saved, show_progress)
        return trainer.progress

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Let `fit` go on where the parts stand."""
        load_checkpoint(Path(resume_file))
        self._resumes = True
