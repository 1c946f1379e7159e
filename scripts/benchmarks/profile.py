"""Where the time of decoding and of training goes: arithmetic against the machine's peak, and kinds of operations."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch.profiler import ProfilerActivity
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bench import Bench, K
from benchmarks.decoding import generate, speculate, thresholds
from benchmarks.training import matmul_rate, optimisation_step, training_batch
from recbole_specgr.decoding.draft_verify_settings import DraftVerifySettings

KINDS = {
    "matrix products": ("mm", "linear", "einsum", "mkldnn"),
    "attention": ("scaled_dot_product", "_softmax", "softmax_backward"),
    "gather and copy": ("index", "gather", "copy", "cat", "scatter", "embedding", "clone", "masked_fill", "repeat"),
    "element-wise": (
        "add",
        "mul",
        "div",
        "sub",
        "pow",
        "exp",
        "where",
        "clamp",
        "norm",
        "Norm",
        "dropout",
        "fill",
        "sum",
    ),
}


def profile(bench: Bench):
    """Operations of matrix products a row, the rate reached, and the share of time by kind of operation."""
    peak, rows = matmul_rate(bench), []

    def row(name: str, users: int, run: Callable[[], object], repeats: int = 3) -> None:
        with FlopCounterMode(display=False) as counter:  # the first call, which is not timed
            run()
        seconds = statistics.median(bench.seconds(run) for _ in range(repeats))
        work = counter.get_total_flops()
        with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as profiler:
            run()
        shares = " / ".join(f"{share:.0%}" for share in _shares(profiler.key_averages()))
        rows.append([name, f"{1000 * seconds / users:.2f}", f"{work / users / 1e9:.2f}",
                     f"{work / seconds / 1e9:.0f}", f"{work / seconds / peak:.0%}", shares])  # fmt: skip

    tiger, _, test = bench.model("TIGER")
    index, batch = tiger.eval().index(test.candidates.to(bench.device)), bench.users(test, 64)
    with torch.no_grad():
        row("TIGER, batch 64", 64, lambda: generate(tiger, batch, index))

    sizes = (64, 256) if bench.quick else (256, 1024)  # rows that generate, and that are contrasted
    model, train, test = bench.model("SpecGRPP", train_batch_size=sizes[0], contrastive_batch_size=sizes[1])
    index, batch = model.eval().index(test.candidates.to(bench.device)), bench.users(test, 32)
    with torch.no_grad():
        for name, threshold in thresholds(model, batch, index).items():
            settings = DraftVerifySettings(K, K, threshold)
            row(f"SpecGR++, batch 32, {name}", 32, lambda s=settings: speculate(model, batch, index, s))

    model.train()
    for stage in ("pretrain", "finetune"):
        batch = training_batch(train, stage, *sizes).to(bench.device)
        model.start_stage(stage)

        step = optimisation_step(bench, model, lambda b=batch: sum(model.calculate_loss(b).values()))
        row(f"SpecGR++ {stage} step, {len(batch):,} rows", len(batch), step, repeats=1)
    header = ["what", "ms a row", "GFLOP a row", "GFLOP/s", "of peak", " / ".join([*KINDS, "rest"])]
    return f"where the time goes (peak {peak / 1e9:.0f} GFLOP/s)", header, rows


def _shares(events) -> list[float]:
    """Share of the operations' own time in each of KINDS, and in the rest."""
    spent = dict.fromkeys([*KINDS, "rest"], 0.0)
    for event in events:
        name = event.key.removeprefix("aten::")
        kind = next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), "rest")
        spent[kind] += event.self_cpu_time_total
    return [time / sum(spent.values()) for time in spent.values()]
