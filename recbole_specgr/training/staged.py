"""Training in stages: each with its own settings, optimiser, early stopping and best checkpoint, in one run folder."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from recbole.utils import init_seed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter

from recbole_specgr.errors import UserError
from recbole_specgr.training.checkpoint import load_checkpoint, restore_model, save_checkpoint
from recbole_specgr.training.evaluation import InductiveEvaluation
from recbole_specgr.training.meter import EpochMeter, describe, named_losses
from recbole_specgr.training.progress import StageProgress

LAST = "last.pth"  # where a run stands: what --resume goes on from


class FitOptions(NamedTuple):
    """What `fit` was called with, for all stages alike."""

    valid_data: Any
    saved: bool
    verbose: bool
    show_progress: bool
    callback_fn: Callable[[int, float], None] | None


class StagedTrainer(InductiveEvaluation):
    """Mixin over any RecBole trainer: its loss, optimiser and epoch; our stages, evaluation and checkpoints.

    `config["stages"]` maps each stage to the settings that differ from the run's during it. The best parameters of a
    stage, by `valid_metric`, are in `<run_dir>/<stage>.pth` and in the model when the stage ends. `last.pth` is written
    after every epoch. An epoch's random numbers depend on the seed, the stage and the epoch only, so a resumed run ends
    like one that was never interrupted.
    """

    def __init__(self, config, model):
        distributed, config["single_spec"] = not config["single_spec"], True  # DDP is set up for each stage, below
        with _scratch_directory(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            super().__init__(config, model)
        config["single_spec"] = not distributed
        self.tensorboard.close()
        self.run_dir = self.resume_dir = Path(config["run_dir"] or config["checkpoint_dir"])
        self.stages: dict[str, dict[str, Any]] = config["stages"]
        self.saved_model_file = str(self.run_dir / f"{list(self.stages)[-1]}.pth")
        self.progress: dict[str, StageProgress] = {}
        self._resumed: dict[str, Any] | None = None
        self._init_evaluation()

    # ---- the run ---------------------------------------------------------------------------------------------------

    def start_stage(self, stage: str, train_data) -> None:
        """Called before a stage is trained (or skipped, on resume), with its settings in place."""
        if hasattr(self.model, "start_stage"):
            self.model.start_stage(stage, train_data)

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, show_progress=False, callback_fn=None):
        """Run the stages and return (best valid score, best valid result) of the last one.

        Raises:
            UserError: the loss is not a number; valid_metric is not among the results.
        """
        self.eval_collector.data_collect(train_data)
        torch.autograd.set_detect_anomaly(False)  # importing RecBole's models turns it on, which costs half the speed
        self.tensorboard = SummaryWriter(self.run_dir / "tensorboard") if self._leads else None
        options = FitOptions(valid_data, saved, verbose, show_progress, callback_fn)
        try:
            for number, (stage, settings) in enumerate(self.stages.items()):
                progress = self.progress.setdefault(stage, StageProgress(stage))
                with self._settings(settings):
                    self.start_stage(stage, train_data)
                    if progress.done:
                        self._load(self.run_dir / f"{stage}.pth")
                    else:
                        self._train_stage(number, progress, self._loader(train_data, settings), options)
        except KeyboardInterrupt:
            next_step = (
                f"Go on after epoch {progress.epoch} with --resume={self.resume_dir}" if saved else "Nothing is saved."
            )
            self.logger.warning(f"Interrupted in stage {stage}. {next_step}")
            raise
        finally:
            if self.tensorboard is not None:
                self.tensorboard.close()
        self.best_valid_score, self.best_valid_result = progress.best_score, progress.best_result
        return self.best_valid_score, self.best_valid_result

    def _train_stage(self, number: int, progress: StageProgress, loader, options: FitOptions) -> None:
        if self._trains:
            self._wrap_distributed()
            self.optimizer = self._build_optimizer()
            self.scheduler = self._build_scheduler(len(loader) * self.epochs)
        else:
            self.optimizer, self.scheduler, self.epochs = None, None, 0  # it is only evaluated
        self._continue(progress)
        if options.saved:
            self._save_last()
        while progress.epoch < self.epochs and not progress.stopped:
            self._shuffle(loader, self._seed(number, progress.epoch), progress.epoch)
            entry = self._timed_epoch(progress, loader, options.show_progress)
            progress.epoch += 1
            if self._validates(progress.epoch, options.valid_data):
                result = self._validate(progress, options)
                entry |= {key: value for key, value in result.items() if not key.endswith("_count")}
            progress.history.append(entry)
            self._report(progress, entry, options.verbose)
            if options.saved:
                self._save_last()
        self._finish(progress, options)

    def _validate(self, progress: StageProgress, options: FitOptions) -> dict[str, float]:
        """Evaluate on the valid phase, and keep the parameters when they are the best so far."""
        score, result = self._valid_epoch(options.valid_data, options.show_progress)
        best = progress.judge(score, result, self.stopping_step, self.valid_metric_bigger)
        if best and options.saved:
            self._save(self.run_dir / f"{progress.stage}.pth")
        if options.callback_fn:
            options.callback_fn(progress.epoch - 1, score)
        return result

    def _finish(self, progress: StageProgress, options: FitOptions) -> None:
        """Leave the stage's best parameters in the model and in its file."""
        if progress.best_epoch is None and options.valid_data and self.eval_step > 0:  # a stage of 0 epochs
            self._validate(progress, options)
        if options.saved:
            file = self.run_dir / f"{progress.stage}.pth"
            if progress.best_epoch is None:
                self._save(file)
            else:
                self._load(file)
        progress.done = True
        if options.saved:
            self._save_last()

    # ---- one epoch -------------------------------------------------------------------------------------------------

    def _timed_epoch(self, progress: StageProgress, loader, show_progress: bool) -> dict[str, Any]:
        title = f"{progress.stage} {progress.epoch + 1}/{self.epochs}"
        self.meter = EpochMeter(title, len(loader), show_progress)
        try:
            self._train_epoch(loader, progress.epoch)
            losses = self.meter.means()
        except FloatingPointError as error:
            raise UserError(
                f"In stage {progress.stage}, epoch {progress.epoch + 1}, {error}. Lower --learning_rate "
                f"({self.config['learning_rate']}), or set --clip_grad_norm."
            ) from error
        finally:
            self.meter.close()
        rows = self.meter.rows * self.config["world_size"]
        progress.rows += rows
        progress.seconds += self.meter.seconds
        return {
            "epoch": progress.epoch + 1,
            **{name if name.startswith("loss") else f"loss_{name}": value for name, value in losses.items()},
            "learning_rate": self._learning_rate(),
            "seconds": round(self.meter.seconds, 3),
            "rows_per_second": round(rows / max(self.meter.seconds, 1e-9), 1),
        }

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*GradScaler.*", category=FutureWarning)
            return super()._train_epoch(train_data, epoch_idx, self._metered(loss_func or self.model.calculate_loss))

    def _metered(self, loss_func: Callable) -> Callable:
        """`loss_func` in the configured precision, counted by the meter."""
        bf16 = self.config["precision"] == "bf16"

        def counted(interaction):
            with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                losses = loss_func(interaction)
            self.meter.add(named_losses(losses), self._rows(interaction), self._learning_rate())
            return losses

        return counted

    def _rows(self, interaction) -> int:
        """How many rows of the epoch a batch has."""
        return len(interaction)

    def _check_nan(self, loss) -> None:
        if torch.isnan(loss):
            raise FloatingPointError("the loss became nan")

    def _valid_epoch(self, valid_data, show_progress=False) -> tuple[float, dict[str, float]]:
        result = self.evaluate(valid_data, load_best_model=False, show_progress=show_progress)
        return self.score_of(result), result

    def score_of(self, result: dict[str, float]) -> float:
        """The valid_metric among the results of the valid phase. Raises UserError when it is not there."""
        if self.valid_metric not in result:
            empty = [key for key, value in result.items() if key.endswith("_count") and not value]
            why = f" (its {empty[0]} is 0)" if empty else ""
            raise UserError(
                f"[valid_metric: {self.config['valid_metric']}] is not among the results of the valid phase{why}: "
                f"{', '.join(result)}."
            )
        return result[self.valid_metric]

    def _validates(self, epoch: int, valid_data) -> bool:
        """After every `eval_step` epochs, and after the last; never when it is 0."""
        return bool(valid_data) and self.eval_step > 0 and (epoch % self.eval_step == 0 or epoch == self.epochs)

    def _report(self, progress: StageProgress, entry: dict[str, Any], verbose: bool) -> None:
        losses = {name: value for name, value in entry.items() if name.startswith("loss")}
        line = f"{progress.stage} {progress.epoch}/{self.epochs}  {describe(losses)}  "
        line += f"{entry['seconds']:.1f} s, {entry['rows_per_second']:,.0f} rows/s"
        if self.valid_metric in entry:
            line += f"  {self.valid_metric} {entry[self.valid_metric]:.4f}"
            line += " *" if progress.best_epoch == progress.epoch else f" (best {progress.best_score:.4f})"
        if verbose:
            self.logger.info(line)
        if self.tensorboard is not None:
            for name, value in entry.items():
                self.tensorboard.add_scalar(f"{progress.stage}/{name}", value, progress.epoch)
        self.wandblogger.log_metrics({"train_step": progress.epoch, **entry}, head=progress.stage)

    # ---- what a stage is set up with -------------------------------------------------------------------------------

    @contextmanager
    def _settings(self, overrides: dict[str, Any]) -> Iterator[None]:
        """The stage's settings over the run's, in the config and in the attributes RecBole's trainer reads."""
        before = {key: self.config[key] for key in overrides}
        try:
            for key, value in overrides.items():
                self.config[key] = value
            for key in ("epochs", "learner", "learning_rate", "weight_decay", "eval_step", "stopping_step"):
                setattr(self, key, self.config[key])
            self.valid_metric = self.config["valid_metric"].lower()
            norm = self.config["clip_grad_norm"]
            self.clip_grad_norm = {"max_norm": norm} if isinstance(norm, (int, float)) else norm
            yield
        finally:
            for key, value in before.items():
                self.config[key] = value

    def _loader(self, train_data, overrides: dict[str, Any]):
        """The training batches of the stage."""
        if "train_batch_size" in overrides:
            train_data = type(train_data)(self.config, train_data._dataset, train_data._sampler, train_data.shuffle)
        if (self.config["train_neg_sample_args"] or {}).get("dynamic"):
            train_data.get_model(self.model)
        return train_data

    def _shuffle(self, loader, seed: int, epoch: int) -> None:
        """Give the batches of an epoch their order."""
        loader.generator.manual_seed(seed)

    def _build_scheduler(self, total_steps: int):
        """A learning rate scheduler, stepped by `_train_epoch`; RecBole's trainers have none."""
        return None

    def _learning_rate(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def _seed(self, stage_number: int, epoch: int) -> int:
        """Seed every generator for one epoch of this process, and return the seed."""
        key = [self.config["seed"], stage_number, epoch, self.config["rank"]]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        init_seed(seed, self.config["reproducibility"])
        return seed

    def _wrap_distributed(self) -> None:
        if not self.config["single_spec"]:
            devices = [self.device] if self.device.type == "cuda" else None
            self.distributed_model = DistributedDataParallel(self.model, device_ids=devices)

    @property
    def _trains(self) -> bool:
        """The model has parameters to train, which were not trained in the run that it takes over."""
        taken = getattr(self.model, "trained_before", False)
        return not taken and any(parameter.requires_grad for parameter in self.model.parameters())

    @property
    def _leads(self) -> bool:
        """This process writes the files."""
        return not self.config["rank"]

    # ---- checkpoints -----------------------------------------------------------------------------------------------

    def _save(self, path: Path, **content: Any) -> None:
        if self._leads:
            save_checkpoint(path, self.model, **content)

    def _load(self, path: str | Path) -> None:
        if not self.config["single_spec"]:
            torch.distributed.barrier()
        restore_model(self.model, load_checkpoint(Path(path), self.device), Path(path))

    def _save_last(self) -> None:
        self._save(
            self.run_dir / LAST,
            stages=[asdict(progress) for progress in self.progress.values()],
            optimizer=self.optimizer.state_dict() if self.optimizer else None,
            scheduler=self.scheduler.state_dict() if self.scheduler else None,
        )

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Let `fit` go on from a `last.pth`. Raises UserError when it is not one of this run's model and stages."""
        checkpoint = load_checkpoint(Path(resume_file))  # not on the GPU: Adam keeps its step counts on the CPU
        stages = [StageProgress(**progress) for progress in checkpoint.get("stages", [])]
        known = list(self.stages)[: len(stages)]
        if not stages or [progress.stage for progress in stages] != known:
            raise UserError(f"{resume_file} can't be resumed: it holds no training state of the stages {known}.")
        self.progress = {progress.stage: progress for progress in stages}
        self._resumed = {**checkpoint, "path": Path(resume_file)}

    def _continue(self, progress: StageProgress) -> None:
        """Restore parameters, optimiser and schedule when `progress` is the stage that was interrupted."""
        if self._resumed is not None and progress.stage in (resumed["stage"] for resumed in self._resumed["stages"]):
            restore_model(self.model, self._resumed, self._resumed["path"])
            if self.optimizer:
                self.optimizer.load_state_dict(self._resumed["optimizer"])
            if self.scheduler:
                self.scheduler.load_state_dict(self._resumed["scheduler"])
            self.logger.info(f"Resumed stage {progress.stage} after epoch {progress.epoch}.")
        self._resumed = None


@contextmanager
def _scratch_directory() -> Iterator[None]:
    """A working directory that is thrown away: RecBole's Trainer.__init__ writes ./log_tensorboard into it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        try:
            yield
        finally:
            os.chdir(before)
