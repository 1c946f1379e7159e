"""Training in stages: each with its own settings, optimiser, early stopping and best checkpoint, in one run folder."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from recbole.config import Config
from recbole.model.abstract_recommender import SequentialRecommender

from recbole_specgr.runs.checkpoint import checkpoint_content, load_checkpoint, restore_model, save_checkpoint
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.files import remove_unfinished
from recbole_specgr.system.interruption import Terminated, safe_points
from recbole_specgr.system.processes import wait_for_all
from recbole_specgr.training.activations import checkpoint_activations
from recbole_specgr.training.epoch_report import EpochReports
from recbole_specgr.training.generators import seed_generators
from recbole_specgr.training.last_checkpoint import Continuation, LastCheckpoint, Trained
from recbole_specgr.training.memory import out_of_memory_advice
from recbole_specgr.training.meter import EpochMeter
from recbole_specgr.training.profiling import traced_steps
from recbole_specgr.training.progress import StageProgress
from recbole_specgr.training.recbole_loop import RecBoleLoop
from recbole_specgr.training.stage_settings import stage_settings, warn_of_unread
from recbole_specgr.training.steps import EpochSteps
from recbole_specgr.training.validation import Validation


class FitOptions(NamedTuple):
    """What `fit` was called with, for all stages alike."""

    valid_data: Any
    saved: bool
    show_progress: bool
    callback_fn: Callable[[int, float], None] | None


class StagedTrainer(RecBoleLoop, Validation):
    """Mixin over any RecBole trainer: its loss, optimiser and epoch; our stages, evaluation and checkpoints.

    `config["stages"]` maps each stage to the settings that differ from the run's during it. The best parameters of a
    stage, by `valid_metric`, are in `<run_dir>/<stage>.pth` and in the model when the stage ends. An epoch's random
    numbers depend on the seed, the stage, the epoch and the process only.

    What is called here and not defined here is how an epoch runs: `_loader`, `_batches_from`, `_train_epoch`,
    `_plan_end`, `_after_validation`, `_collect`, `_module` and `_wrap_distributed`. `recbole_loop.RecBoleLoop` has them
    for RecBole's trainers, as RecBole does it; `trainer.Trainer`, that of our models, overrides all of them. How the
    valid phase is ranked is in `validation` and `inductive_evaluation`.

    Attributes:
        run_dir: the run's folder.
        resume_dir: the folder that --resume takes; of a part of a composite model it is the whole's.
        progress: where each stage stands that has begun.
        last: `last.pth`, what an interrupted run goes on from.
    """

    # Made when a stage begins; None before, and for a model without parameters.
    optimizer: Any
    scheduler: Any
    scaler: Any

    def __init__(self, config: Config, model: SequentialRecommender) -> None:
        super().__init__(config, model)
        self.tensorboard.close()  # RecBole's own, in a folder that is thrown away
        self.run_dir = self.resume_dir = Path(config["run_dir"] or config["checkpoint_dir"])
        self.stages: dict[str, dict[str, Any]] = config["stages"]
        self.saved_model_file = str(self.run_dir / f"{list(self.stages)[-1]}.pth")
        self.progress: dict[str, StageProgress] = {}
        self.last = LastCheckpoint(self.run_dir, config)
        self.scheduler = self.scaler = None
        self._best: dict[str, Any] = {}  # the stage's best parameters, of a run that saves nothing
        self._profiled: str | None = None  # the stage whose steps are in the trace
        self._init_evaluation()

    # ---- the run ---------------------------------------------------------------------------------------------------

    def start_stage(self, stage: str) -> None:
        """Called before a stage is trained (or skipped, on resume), with its settings in place."""
        self.model.start_stage(stage)

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, show_progress=False, callback_fn=None):
        """Run the stages and return (best valid score, best valid result) of the last one.

        Raises:
            UserError: the loss is not a number; valid_metric is not among the results; memory or disk ran out.
            Terminated: termination was requested; `last.pth` has all that is done.
        """
        torch.autograd.set_detect_anomaly(False)  # importing RecBole's models turns it on, which costs half the speed
        if self._leads:
            remove_unfinished(self.run_dir)
        self.evaluation_folder = self.run_dir / "evaluation" if saved else None
        options = FitOptions(valid_data, saved, show_progress, callback_fn)
        self.reports = EpochReports(self.run_dir, self._leads, verbose, self.wandblogger)
        try:
            for number, (stage, settings) in enumerate(self.stages.items()):
                progress = self.progress.setdefault(stage, StageProgress(stage))
                with stage_settings(self, settings) as read:
                    self._check_settings()
                    self.start_stage(stage)
                    if progress.done:
                        self._load(self.run_dir / f"{stage}.pth")
                    else:
                        self._train_stage(number, progress, self._loader(train_data, settings), options)
                        warn_of_unread(self, stage, settings.keys() - read)
        except KeyboardInterrupt:
            go_on = f"Go on after epoch {progress.epoch} with --resume={self.resume_dir}"
            self.logger.warning(f"Interrupted in stage {stage}. {go_on if saved else 'Nothing is saved.'}")
            raise
        finally:
            self.reports.close()
        self.best_valid_score, self.best_valid_result = progress.best_score, progress.best_result
        return self.best_valid_score, self.best_valid_result

    def keep(self, valid_data=None, saved=True, show_progress=False):
        """In place of `fit` where the parameters are those of a finished run: validate them, keep them as this run's,
        and return (valid score, valid result).

        Raises:
            UserError: valid_metric is not among the results; the disk ran out.
        """
        self.evaluation_folder = self.run_dir / "evaluation" if saved else None
        if valid_data:
            self.best_valid_score, self.best_valid_result = self._valid_epoch(valid_data, show_progress)
        if saved:
            self._save(Path(self.saved_model_file))
        return self.best_valid_score, self.best_valid_result

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Let `fit` go on from a `last.pth`. Raises UserError when it is not one of this run's model and stages."""
        self.progress = self.last.read(Path(resume_file), self.stages)

    def _train_stage(self, number: int, progress: StageProgress, loader, options: FitOptions) -> None:
        """Train one stage from where it stands to its end.

        Args:
            number: of the stage, from 0.
        """
        continuation = self.last.continued(progress)
        if continuation:
            continuation.restore_parameters(self.model)
        self._set_up(len(loader))
        progress.limit = self.epochs
        if continuation:
            continuation.restore_steps(self._trained)
        elif options.saved:  # what is continued stands in the file already, with the generators' state
            self._write_last()
        try:
            with safe_points():
                while True:
                    self._plan_end(progress, len(loader))
                    if progress.over:
                        break
                    self._train_one_epoch(number, progress, loader, options, continuation)
                    continuation = None
                self._finish(progress, options)
        except Terminated:
            if options.saved:
                self._write_last()
            where = f"stage {progress.stage}, epoch {progress.epoch + 1}, step {progress.step}"
            go_on = f"Go on with --resume={self.resume_dir}"
            self.logger.warning(f"Stopped by SIGTERM in {where}. {go_on if options.saved else 'Nothing is saved.'}")
            raise

    def _set_up(self, steps: int) -> None:
        """Build what the steps of a stage need around the model: the processes, optimiser, schedule, loss scaling.

        Args:
            steps: that an epoch has.
        """
        if not self._trains:
            self.optimizer = self.scheduler = self.scaler = None
            self.epochs = 0  # it is only evaluated
            return
        if self.config["activation_checkpointing"]:
            checkpoint_activations(self.model)
        self._wrap_distributed()
        self.optimizer = self._build_optimizer()
        self.scheduler = self._build_scheduler(steps * self.epochs)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.config["precision"] == "fp16")

    def _train_one_epoch(
        self, number: int, progress: StageProgress, loader, options: FitOptions, continuation: Continuation | None
    ) -> None:
        """Train the rest of the epoch that `progress` is in, validate, and write down both."""
        self._shuffle(loader, self._seed(number, progress.epoch), progress.epoch)

        def restore() -> None:  # after the loader has gone to where the epoch goes on, and the model into training
            if continuation is not None:
                continuation.restore_buffers(self._module)
            restored = continuation is not None and continuation.restore_generators()
            if progress.step and not restored:
                self._seed(number, progress.epoch, progress.step)

        entry = self._timed_epoch(progress, loader, options, restore)
        progress.epoch += 1
        if self._validates(progress.epoch, options.valid_data):
            try:
                result = self._validate(progress, options)
            except Terminated:
                progress.epoch -= 1  # it is over when it is validated
                raise
            entry |= {key: value for key, value in result.items() if not key.endswith("_count")}
            self._after_validation(progress)
        progress.step, progress.partial = 0, None
        progress.rows += self.meter.rows
        progress.seconds += self.meter.seconds
        progress.history.append(entry)
        self.reports.add(self.progress.values(), progress, self.epochs, self.valid_metric)
        if options.saved:
            self._write_last()

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
        elif self._best:
            restore_model(self.model, self._best, self.run_dir)
            self._best = {}
        progress.done = True
        if options.saved:
            self._write_last()

    # ---- one epoch -------------------------------------------------------------------------------------------------

    def _timed_epoch(
        self, progress: StageProgress, loader, options: FitOptions, start: Callable[[], None]
    ) -> dict[str, Any]:
        """Train an epoch, or the rest of it, and return its entry in the history.

        Args:
            start: called before the first batch.
        """
        steps = len(loader)
        self.meter = EpochMeter(
            f"{progress.stage} {progress.epoch + 1}/{self.epochs}",
            steps,
            options.show_progress,
            self.config["world_size"],
            steps * (self.epochs - progress.epoch - 1),
            progress.partial,
        )
        trace = None
        if self.config["profile"] and self._leads and self._profiled != progress.stage:
            trace = self.run_dir / "profile" / f"{progress.stage}.json"
            self._profiled = progress.stage
        try:
            with traced_steps(trace) as traced, out_of_memory_advice(self.config, training=True):

                def done(step: int) -> None:
                    traced()
                    self._step_done(progress, options, steps, step)

                batches = self._batches_from(loader, progress.step)
                self._train_epoch(EpochSteps(loader, batches, progress.step, start, done), progress.epoch)
            losses = self.meter.means()
        except FloatingPointError as error:
            raise UserError(
                f"In stage {progress.stage}, epoch {progress.epoch + 1}, {error}. Lower --learning_rate "
                f"({self.config['learning_rate']}), or set --clip_grad_norm."
            ) from error
        finally:
            self.meter.close()
        progress.partial = self.meter.state()  # the epoch is over when it is validated
        return {
            "epoch": progress.epoch + 1,
            **{name if name.startswith("loss") else f"loss_{name}": value for name, value in losses.items()},
            "learning_rate": self._learning_rate(),
            "seconds": round(self.meter.seconds, 3),
            "rows_per_second": round(self.meter.rate(), 1),
            "tokens_per_second": round(self.meter.token_rate(), 1),
        }

    def _step_done(self, progress: StageProgress, options: FitOptions, steps: int, step: int) -> None:
        """Save when it is time to. Raises Terminated when termination was requested of any process."""
        termination_requested, due = self.last.after_step(step, steps)
        progress.step = step
        if termination_requested or (due and options.saved):
            progress.partial = self.meter.state()
            self._collect()
        if termination_requested:
            raise Terminated
        if due and options.saved:
            self._write_last()

    # ---- validation ------------------------------------------------------------------------------------------------

    def _validate(self, progress: StageProgress, options: FitOptions) -> dict[str, float]:
        """Evaluate on the valid phase, and keep the parameters when they are the best so far."""
        score, result = self._valid_epoch(options.valid_data, options.show_progress)
        best = progress.judge(score, result, self.stopping_step, self.valid_metric_bigger)
        if best and options.saved:
            self._save(self.run_dir / f"{progress.stage}.pth")
        elif best:
            self._best = copy.deepcopy(checkpoint_content(self.model))
        if options.callback_fn:
            options.callback_fn(progress.epoch - 1, score)
        return result

    # ---- what a stage is set up with -------------------------------------------------------------------------------

    def _seed(self, stage_number: int, epoch: int, *step: int) -> int:
        """Seed every generator for one epoch of this process, or for the rest of it, and return the seed."""
        key = [self.config["seed"], stage_number, epoch, self.config["rank"], *step]
        return seed_generators(key, self.config["reproducibility"])

    @property
    def _trains(self) -> bool:
        """The model has parameters to train, which were not trained in the run that it takes over."""
        return not self.model.trained_before and any(parameter.requires_grad for parameter in self.model.parameters())

    @property
    def _leads(self) -> bool:
        """This process writes the files."""
        return not self.config["rank"]

    # ---- checkpoints -----------------------------------------------------------------------------------------------

    @property
    def _trained(self) -> Trained:
        return Trained(self.model, self.optimizer, self.scheduler, self.scaler)

    def _write_last(self) -> None:
        self.last.write(self.progress.values(), self._trained)

    def _save(self, path: Path) -> None:
        save_checkpoint(path, self.model, writes=self._leads)

    def _load(self, path: str | Path) -> None:
        wait_for_all()
        restore_model(self.model, load_checkpoint(Path(path), self.device), Path(path))
