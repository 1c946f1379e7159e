"""Training steps: forward, backward and AdamW, dropout included."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from recbole.data.interaction import Interaction
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bench import Bench
from recbole_specgr.backbones.transformers_weights import to_transformers
from recbole_specgr.training.loader import BatchLoader
from recbole_specgr.training.optimizer import build_adamw
from recbole_specgr.training.window_loader import WindowLoader
from recbole_specgr.training.windows import Windows


def matmul(bench: Bench):
    """The machine's matrix-product rate, which the other numbers are to be read against."""
    rows = []
    for shape in ((4096, 4096, 4096), (8192, 64, 1024), (8192, 1024, 64)):
        rows.append(["{} x {} by {} x {}".format(*shape[:2], *shape[1:]), f"{matmul_rate(bench, *shape) / 1e9:.0f}"])
    return "float32 matrix products", ["shape", "GFLOP/s"], rows


def matmul_rate(bench: Bench, *shape: int) -> float:
    """Operations a second of matrices `[m, k]` and `[k, n]`, by default large square ones."""
    m, k, n = shape or (bench.side,) * 3
    a, b = torch.randn(m, k, device=bench.device), torch.randn(k, n, device=bench.device)
    return 2 * m * k * n / bench.median(lambda: a @ b)


def optimisation_step(
    bench: Bench, model: torch.nn.Module, loss: Callable[[], torch.Tensor], precision: str = "fp32"
) -> Callable[[], None]:
    """What computes the loss, its gradient and AdamW's update."""
    optimizer = build_adamw(model, 1e-3, 0.05)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(bench.device.type, torch.bfloat16, enabled=precision == "bf16"):
            value = loss()
        value.backward()
        optimizer.step()

    return step


def operations(step: Callable[[], object]) -> int:
    """Operations of its matrix products."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def of_lengths(length: torch.Tensor, wanted: list[int]) -> torch.Tensor:
    """Rows whose histories `length` are as long as is `wanted`, one each."""
    return torch.cat([(length == n).nonzero()[i : i + 1, 0] for i, n in enumerate(wanted)])


def history_lengths(folder: Path, n: int) -> list[int]:
    """How many items n of a data set's rows have in their history, 20 at most, taken by chance."""
    actions = pd.read_csv(folder / "interactions.csv.gz", usecols=["user_id"])["user_id"].value_counts()
    lengths = np.concatenate([np.arange(1, count) for count in actions])
    return np.random.default_rng(0).choice(lengths, n).clip(max=20).tolist()


def training_batch(train, stage: str, rows: int, contrasted: int):
    """A batch of a stage of SpecGR++: `rows` that generate, in pretrain `contrasted` with those only contrasted."""
    return next(iter(BatchLoader(train, rows, seed=0, extra_rows=contrasted - rows if stage == "pretrain" else 0)))


class Steps:
    """The rows of a table of training steps."""

    header = ("step", "tokens", "seconds", "rows/s", "tokens/s", "of matmul peak", "GB so far", "x transformers")

    def __init__(self, bench: Bench) -> None:
        self.bench, self.peak = bench, matmul_rate(bench)
        self.title = f"training steps (peak {self.peak / 1e9:.0f} GFLOP/s in float32)"
        self.rows: list[list[str]] = []

    def add(self, name: str, users: int, tokens: int, seconds: float, operations: float, ratio: str = "") -> None:
        share, memory = operations / seconds / self.peak, self.bench.peak_memory() / 2**30
        self.rows.append([
            name, f"{tokens:,}", f"{seconds:.2f}", f"{users / seconds:.0f}", f"{tokens / seconds:,.0f}",
            f"{share:.0%}", f"{memory:.1f}", ratio,
        ])  # fmt: skip


def tiger_training(bench: Bench):
    """Whole steps, against the same model in transformers, both in the same precision."""
    size, steps = 64 if bench.quick else 256, Steps(bench)
    tiger, train, _ = bench.model("TIGER")
    theirs = to_transformers(tiger.backbone).train()
    tiger.train()
    _, length = train.histories(torch.arange(len(train)))
    full = (length == length.max()).nonzero().squeeze(1)[-size:]
    mixed = of_lengths(length, [1 + i % int(length.max()) for i in range(size)])
    chosen_rows = {("full histories", "fp32"): full, ("full histories", "bf16"): full, ("1 to 20 items", "fp32"): mixed}
    if bench.data is not None and (folder := bench.data / "amazon_beauty_2014").is_dir():
        beauty = of_lengths(length, history_lengths(folder, size))
        chosen_rows["as long as amazon_beauty_2014's", "fp32"] = beauty
    for (name, precision), chosen in chosen_rows.items():
        batch = train.__getitem__(chosen, join=False).to(bench.device)
        tokens, labels = tiger.history_tokens(batch), tiger.tokens[batch["item_id"]]
        attended = (tokens > 0).long()
        loss = lambda t=tokens, a=attended, y=labels: theirs(input_ids=t, attention_mask=a, labels=y).loss  # noqa: E731
        hf = optimisation_step(bench, theirs, loss, precision)
        step = optimisation_step(bench, tiger, lambda b=batch: sum(tiger.calculate_loss(b).values()), precision)
        ours, hf = (taken.median for taken in bench.times(step, hf, repeats=3))
        title = f"TIGER, {len(chosen)} rows, {name}, {precision}"
        steps.add(title, len(chosen), int(attended.sum()), ours, operations(step), f"{hf / ours:.1f}")
    return steps.title, steps.header, steps.rows


def specgr_training(bench: Bench):
    """Whole steps of both stages."""
    generation, contrast = (64, 256) if bench.quick else (256, 1024)
    steps = Steps(bench)
    model, train, _ = bench.model("SpecGRPP", train_batch_size=generation, contrastive_batch_size=contrast)
    model.train()
    # from what needs least memory to what needs most: a process only knows the most that it ever had
    for stage, precision in itertools.product(("finetune", "pretrain"), ("bf16", "fp32")):
        batch = training_batch(train, stage, generation, contrast).to(bench.device)
        model.start_stage(stage)
        tokens = int((model.history_tokens(batch) > 0).sum())
        step = optimisation_step(bench, model, lambda b=batch: sum(model.calculate_loss(b).values()), precision)
        seconds = bench.median(step, 3)
        contrasted = f", {len(batch)} contrasted" if len(batch) > generation else ""
        steps.add(
            f"SpecGR++ {stage}, {generation} rows{contrasted}, {precision}",
            len(batch),
            tokens,
            seconds,
            operations(step),
        )
    return steps.title, steps.header[:-1], [row[:-1] for row in steps.rows]


def windows_training(bench: Bench):
    """Whole steps of the models that learn from windows of histories, on windows and on rows of as many targets."""
    size, rows = 256 if bench.quick else 2048, []
    opq = {"method": "opq", "levels": 16, "codebook_size": 64, "opq": {"components": 64, "rotations": 0, "restarts": 1}}
    for name, settings in {"UniSRec": {}, "SASRec_T": {}, "TextSASRec": {}, "RPG": {"tokenizer": opq}}.items():
        model, train, _ = bench.model(name, {}, **settings)
        model.train()
        loaders = WindowLoader(Windows(train), size, seed=0), BatchLoader(train, size, seed=0)
        batches = [list(islice(loader, 4)) for loader in loaders]
        targets = [mean_targets(some) for some in batches]
        runs = [over_batches(bench, model, some) for some in batches]
        seconds = [taken.median for taken in bench.times(*runs, repeats=4 if bench.quick else 8)]
        windows, by_rows = (count / time for count, time in zip(targets, seconds, strict=True))
        rows.append([name, f"{targets[0]:.0f}", f"{windows:,.0f}", f"{by_rows:,.0f}", f"{windows / by_rows:.1f}"])
    header = ["model", "targets a step", "targets/s on windows", "targets/s on rows", "x rows"]
    return f"training on windows of {train.max_item_list_len} interactions, and on rows", header, rows


def mean_targets(batches: list[Interaction]) -> float:
    """Targets of a batch of windows or rows, where there is none 0 stands."""
    return sum(int((batch["item_id"] > 0).sum()) for batch in batches) / len(batches)


def over_batches(bench: Bench, model: torch.nn.Module, batches: list[Interaction]) -> Callable[[], None]:
    """A training step of the next batch, again and again."""
    turns = itertools.cycle([batch.to(bench.device) for batch in batches])
    return optimisation_step(bench, model, lambda: model.calculate_loss(next(turns)))
