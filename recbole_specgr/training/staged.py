"""Training in stages: each with its own settings, optimiser, early stopping and best checkpoint, in one run folder."""

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import torch
from recbole.utils import init_seed
from torch.nn.parallel import DistributedDataParallel
from torch.utils.tensorboard import SummaryWriter

from recbole_specgr.runs.checkpoint import checkpoint_content, load_checkpoint, restore_model, write_checkpoint
from recbole_specgr.system.errors import UserError
from recbole_specgr.system.interruption import Terminated, asked, safe_points
from recbole_specgr.system.processes import any_process, from_all_processes
from recbole_specgr.system.sharded_state import load_optimizer
from recbole_specgr.training.activations import checkpoint_activations
from recbole_specgr.training.curves import write_curves
from recbole_specgr.training.generators import generator_states, restore_generators
from recbole_specgr.training.inductive_evaluation import InductiveEvaluation
from recbole_specgr.training.memory import out_of_memory_advice
from recbole_specgr.training.meter import EpochMeter, describe, named_losses
from recbole_specgr.training.profiling import traced_steps
from recbole_specgr.training.progress import StageProgress
from recbole_specgr.training.steps import EpochSteps

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
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
    after every epoch, every `checkpoint_steps` and every `checkpoint_minutes`, and after SIGTERM. An epoch's random
    numbers depend on the seed, the stage, the epoch and the process only, and `last.pth` has the generators' state in
    its middle, so a resumed run ends like one that was never interrupted.
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
        self._saved_at = monotonic()
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
            Terminated: after SIGTERM; `last.pth` has all that is done.
        """
        torch.autograd.set_detect_anomaly(False)  # importing RecBole's models turns it on, which costs half the speed
        self.tensorboard = SummaryWriter(self.run_dir / "tensorboard") if self._leads else None
        options = FitOptions(valid_data, saved, verbose, show_progress, callback_fn)
        self._remove_unfinished()
        self.evaluation_folder = self.run_dir / "evaluation" if saved else None
        try:
            for number, (stage, settings) in enumerate(self.stages.items()):
                progress = self.progress.setdefault(stage, StageProgress(stage))
                with self._settings(settings):
                    self._check_settings()
                    self.start_stage(stage)
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
                with suppress(OSError):  # of a disk that is full or gone, which has been said
                    self.tensorboard.close()
        self.best_valid_score, self.best_valid_result = progress.best_score, progress.best_result
        return self.best_valid_score, self.best_valid_result

    def _train_stage(self, number: int, progress: StageProgress, loader, options: FitOptions) -> None:
        resumed = self._resumed_in(progress)
        if resumed:
            restore_model(self.model, resumed, resumed["path"])
        if self._trains:
            if self.config["activation_checkpointing"]:
                checkpoint_activations(self.model)
            self._wrap_distributed()
            self.optimizer = self._build_optimizer()
            self.scheduler = self._build_scheduler(len(loader) * self.epochs)
            self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.config["precision"] == "fp16")
        else:
            self.optimizer, self.scheduler, self.scaler = None, None, None
            self.epochs = 0  # it is only evaluated
        generators = self._continue(progress, resumed) if resumed else None
        if options.saved and not resumed:  # what was resumed stands in the file, with the generators' state
            self._save_last()
        try:
            with safe_points():
                while progress.epoch < self.epochs and not progress.stopped:
                    self._train_one_epoch(number, progress, loader, options, generators)
                    generators = None
                self._finish(progress, options)
        except Terminated:
            if options.saved:
                self._save_last()
            where = f"stage {progress.stage}, epoch {progress.epoch + 1}, step {progress.step}"
            next_step = f"Go on with --resume={self.resume_dir}" if options.saved else "Nothing is saved."
            self.logger.warning(f"Stopped by SIGTERM in {where}. {next_step}")
            raise

    def _train_one_epoch(self, number: int, progress: StageProgress, loader, options: FitOptions, generators) -> None:
        """Train the rest of the epoch that `progress` is in, validate, and write down both.

        Args:
            generators: the state to go on with in the middle of the epoch; None seeds anew.
        """
        self._shuffle(loader, self._seed(number, progress.epoch), progress.epoch)
        if progress.step and generators is None:  # resumed by another number of processes
            start = partial(self._seed, number, progress.epoch, progress.step)
        else:
            start = partial(restore_generators, generators, self.device) if generators else lambda: None
        entry = self._timed_epoch(progress, loader, options, start)
        progress.epoch += 1
        if self._validates(progress.epoch, options.valid_data):
            try:
                result = self._validate(progress, options)
            except Terminated:
                progress.epoch -= 1  # it is over when it is validated
                raise
            entry |= {key: value for key, value in result.items() if not key.endswith("_count")}
        progress.step, progress.partial = 0, None
        progress.rows += self.meter.rows
        progress.seconds += self.meter.seconds
        progress.history.append(entry)
        self._report(progress, entry, options.verbose)
        if options.saved:
            self._save_last()

    def _step_done(self, progress: StageProgress, options: FitOptions, steps: int, step: int) -> None:
        """Save when it is time to; all processes decide alike.

        Raises:
            Terminated: after SIGTERM to any of them.
        """
        every, minutes = self.config["checkpoint_steps"], self.config["checkpoint_minutes"]
        late = bool(minutes) and self._leads and monotonic() - self._saved_at > 60 * minutes
        stop, late = any_process(asked(), late)
        due = options.saved and step < steps and (late or (bool(every) and step % every == 0))
        progress.step = step
        if stop or due:
            progress.partial = self.meter.state()
            self._collect()
        if stop:
            raise Terminated
        if due:
            self._save_last()

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

                self._train_epoch(EpochSteps(loader, progress.step, start, done), progress.epoch)
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

    def _train_epoch(self, train_data, epoch_idx, loss_func=None, show_progress=False):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*GradScaler.*", category=FutureWarning)
            return super()._train_epoch(train_data, epoch_idx, self._metered(loss_func or self.model.calculate_loss))

    def _metered(self, loss_func: Callable) -> Callable:
        """`loss_func` in the configured precision, counted by the meter."""

        def counted(interaction):
            with self._precision():
                losses = loss_func(interaction)
            rows = len(interaction) * self.config["world_size"]  # RecBole's sampler gives all processes equally many
            self.meter.add(named_losses(losses), rows, self._learning_rate(), self._tokens(interaction))
            return losses

        return counted

    def _precision(self):
        """Computation in the configured precision."""
        dtype = PRECISIONS[self.config["precision"]]
        return torch.autocast(self.device.type, dtype, enabled=dtype is not torch.float32)

    def _tokens(self, interaction) -> torch.Tensor:
        """How many tokens the histories of a batch have: digits of semantic ids, else items."""
        ids = getattr(self.model, "tokens", None)
        digits = ids.size(1) if isinstance(ids, torch.Tensor) else 1
        return digits * interaction[self.model.ITEM_SEQ_LEN].sum()

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
        try:
            if self._leads:
                write_curves(self.run_dir, self.progress.values())
            if self.tensorboard is not None:
                for name, value in entry.items():
                    self.tensorboard.add_scalar(f"{progress.stage}/{name}", value, progress.epoch)
        except OSError as error:  # a run can do without; the checkpoint that comes next says it when it can't
            self.logger.warning(f"The training curves could not be written: {error}")
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

    def _check_settings(self) -> None:
        """Raise UserError for what RecBole's own epoch can't do."""
        for key, plain in (("precision", ("fp32", "bf16")), ("accumulation_steps", (1,)), ("parallel", ("ddp",))):
            if self.config[key] not in plain:
                raise UserError(
                    f"[{key}: {self.config[key]}] is for the models of this package; {self.config['model']} is trained "
                    f"by RecBole's own loop. Take {' or '.join(map(str, plain))}."
                )

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

    def _seed(self, stage_number: int, epoch: int, step: int = 0) -> int:
        """Seed every generator for one epoch of this process, or for the rest of it, and return the seed."""
        key = [self.config["seed"], stage_number, epoch, self.config["rank"], *([step] if step else [])]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        init_seed(seed, self.config["reproducibility"])
        return seed

    def _wrap_distributed(self) -> None:
        if not self.config["single_spec"]:
            devices = [self.device] if self.device.type == "cuda" else None
            self.distributed_model = DistributedDataParallel(self.model, device_ids=devices)

    def _collect(self) -> None:
        """Have the parameters as they are now in `model`; another object may be trained."""

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
        content = checkpoint_content(self.model, **content)
        if self._leads:
            write_checkpoint(path, content)

    def _load(self, path: str | Path) -> None:
        if not self.config["single_spec"]:
            torch.distributed.barrier()
        restore_model(self.model, load_checkpoint(Path(path), self.device), Path(path))

    def _remove_unfinished(self) -> None:
        """Remove what a process that was killed has left of a checkpoint."""
        if self._leads:
            for file in self.run_dir.glob(".*.pth"):
                file.unlink(missing_ok=True)

    def _save_last(self) -> None:
        self._save(
            self.run_dir / LAST,
            stages=[asdict(progress) for progress in self.progress.values()],
            optimizer=self.optimizer.state_dict() if self.optimizer else None,
            scheduler=self.scheduler.state_dict() if self.scheduler else None,
            scaler=self.scaler.state_dict() if self.scaler else None,
            generators=from_all_processes(generator_states(self.device)),
        )
        self._saved_at = monotonic()

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Let `fit` go on from a `last.pth`. Raises UserError when it is not one of this run's model and stages."""
        checkpoint = load_checkpoint(Path(resume_file))  # not on the GPU: Adam keeps its step counts on the CPU
        stages = [StageProgress(**progress) for progress in checkpoint.get("stages", [])]
        known = list(self.stages)[: len(stages)]
        if not stages or [progress.stage for progress in stages] != known:
            raise UserError(f"{resume_file} can't be resumed: it holds no training state of the stages {known}.")
        self.progress = {progress.stage: progress for progress in stages}
        self._resumed = {**checkpoint, "path": Path(resume_file)}

    def _resumed_in(self, progress: StageProgress) -> dict[str, Any] | None:
        """The checkpoint to go on from, when `progress` is the stage that was interrupted."""
        resumed, self._resumed = self._resumed, None
        if resumed is not None and progress.stage in (stage["stage"] for stage in resumed["stages"]):
            return resumed
        return None

    def _continue(self, progress: StageProgress, resumed: dict[str, Any]) -> dict[str, Any] | None:
        """Restore optimiser, schedule and scaler, and return the generators' state where this process has one."""
        if self.optimizer:
            load_optimizer(self.optimizer, resumed["optimizer"])
        if self.scheduler:
            self.scheduler.load_state_dict(resumed["scheduler"])
        if self.scaler:
            self.scaler.load_state_dict(resumed["scaler"])
        where = f"epoch {progress.epoch + 1}, step {progress.step}" if progress.step else f"epoch {progress.epoch}"
        self.logger.info(f"Resumed stage {progress.stage} after {where}.")
        generators = resumed["generators"]
        if not progress.step or len(generators) != self.config["world_size"]:
            return None
        return generators[self.config["rank"]]


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
