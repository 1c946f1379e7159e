"""Training steps: forward, backward and AdamW, dropout included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bench import Bench
from recbole_specgr.backbone.transformers_weights import to_transformers
from recbole_specgr.training.loader import BatchLoader
from recbole_specgr.training.optimizer import build_adamw


def matmul(bench: Bench):
    """The machine's matrix-product rate, which the other numbers are to be read against."""
    rows = []
    for shape in ((4096, 4096, 4096), (8192, 64, 1024), (8192, 1024, 64)):
        rows.append(["{} x {} by {} x {}".format(*shape[:2], *shape[1:]), f"{matmul_rate(bench, *shape) / 1e9:.0f}"])
    return "float32 matrix products", ["shape", "GFLOP/s"], rows


def matmul_rate(bench: Bench, m: int = 4096, k: int = 4096, n: int = 4096) -> float:
    """Operations a second."""
    a, b = torch.randn(m, k, device=bench.device), torch.randn(k, n, device=bench.device)
    return 2 * m * k * n / bench.median(lambda: a @ b)


def optimisation_step(model: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    """What computes the loss, its gradient and AdamW's update."""
    optimizer = build_adamw(model, 1e-3, 0.05)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def training_step(bench: Bench, model: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> tuple[float, float]:
    """Median seconds of a step, and the operations of its matrix products."""
    step = optimisation_step(model, loss)
    seconds = bench.median(step, 3 if bench.quick else 5)
    with FlopCounterMode(display=False) as counter:
        step()
    return seconds, counter.get_total_flops()


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


def training(bench: Bench):
    """Whole steps, against the same model in transformers."""
    generation, contrast = (64, 256) if bench.quick else (256, 1024)
    peak, rows = matmul_rate(bench), []

    def row(name: str, users: int, tokens: int, seconds: float, operations: float, ratio: str = "") -> None:
        share = operations / seconds / peak
        rate = f"{users / seconds:.0f}"
        rows.append([name, f"{tokens:,}", f"{seconds:.2f}", rate, f"{tokens / seconds:,.0f}", f"{share:.0%}", ratio])

    tiger, train, _ = bench.model("TIGER")
    theirs = to_transformers(tiger.backbone).train()
    tiger.train()
    _, length = train.histories(torch.arange(len(train)))
    full = (length == length.max()).nonzero().squeeze(1)[-generation:]
    mixed = of_lengths(length, [1 + i % int(length.max()) for i in range(generation)])
    chosen_rows = {"full histories": full, "1 to 20 items": mixed}
    if bench.data is not None and (folder := bench.data / "amazon_beauty_2014").is_dir():
        chosen_rows["as long as amazon_beauty_2014's"] = of_lengths(length, history_lengths(folder, generation))
    for name, chosen in chosen_rows.items():
        batch = train.__getitem__(chosen, join=False).to(bench.device)
        tokens, labels = tiger.history_tokens(batch), tiger.tokens[batch["item_id"]]
        attended = (tokens > 0).long()
        hf, _ = training_step(
            bench, theirs, lambda t=tokens, a=attended, y=labels: theirs(input_ids=t, attention_mask=a, labels=y).loss
        )
        ours = training_step(bench, tiger, lambda b=batch: sum(tiger.calculate_loss(b).values()))
        row(f"TIGER, {len(chosen)} rows, {name}", len(chosen), int(attended.sum()), *ours, f"{hf / ours[0]:.1f}")

    spec, train, _ = bench.model("SpecGRPP", train_batch_size=generation, contrastive_batch_size=contrast)
    spec.train()
    for stage in ("pretrain", "finetune"):
        batch = training_batch(train, stage, generation, contrast).to(bench.device)
        spec.start_stage(stage, None)
        tokens = int((spec.history_tokens(batch) > 0).sum())
        step = training_step(bench, spec, lambda b=batch: sum(spec.calculate_loss(b).values()))
        contrasted = f", {len(batch)} contrasted" if len(batch) > generation else ""
        row(f"SpecGR++ {stage}, {generation} rows{contrasted}", len(batch), tokens, *step)
    header = ["step", "tokens", "seconds", "rows/s", "tokens/s", "of matmul peak", "x transformers"]
    return f"training steps (peak {peak / 1e9:.0f} GFLOP/s)", header, rows
