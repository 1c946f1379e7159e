"""Small results for the leaderboard's tests: ranks from a seeded draw, and the record that belongs to them."""

from pathlib import Path

import numpy as np

from recbole_specgr.evaluation.evaluator import part_counts, part_results
from recbole_specgr.evaluation.known_metrics import rank_metrics
from recbole_specgr.evaluation.rows import Rows
from recbole_specgr.leaderboard.archive import Result, read_run
from recbole_specgr.runs.record import digest, protocol_hash, ranks_digest, write_result

METRICS = ["ndcg", "recall"]


def make_ranks(good: float, unseen_good: float, seed: int, users: int = 60, rows: int = 4) -> dict[str, np.ndarray]:
    """Rows of which a share of `good` (of those with unseen targets `unseen_good`) has a rank of at most 50."""
    rng, n = np.random.default_rng(seed), users * rows
    unseen = np.arange(n) % 4 == 3
    listed = rng.random(n) < np.where(unseen, unseen_good, good)
    return {
        "rank": np.where(listed, rng.integers(1, 51, n), 0).astype(np.int32),
        "unseen": unseen,
        "user": np.array([f"u{row // rows}" for row in range(n)]),
        "item": np.array([f"i{row % 37}" for row in range(n)]),
        "history": (np.arange(n) % 30 + 1).astype(np.int32),
        "popularity": np.where(unseen, 0, np.arange(n) % 11 * 7 + 1).astype(np.int32),
        "age_days": (np.arange(n) % 50).astype(np.float32),
    }


def make_record(
    ranks,
    model="TIGER",
    seed=1,
    finished="2026-01-01T00:00:00+0000",
    dataset="tiny",
    group=None,
    settings=None,
    **protocol,
):
    """The record of these ranks, without digests."""
    protocol = {"dataset": dataset, "fingerprint": "f", "metrics": METRICS, "topk": [10, 50], **protocol}
    rows, metrics = Rows(ranks["rank"], ranks["unseen"]), rank_metrics(protocol["metrics"], {}).values()
    found = part_counts(rows) | part_results(rows, metrics, protocol["topk"])
    test = {key: value if isinstance(value, int) else round(value, 5) for key, value in found.items()}
    history = [
        {"epoch": epoch, "loss": 3.0 / epoch, "seconds": 1.5, "ndcg@50": 0.01 * epoch, "recall@50": 0.03 * epoch}
        for epoch in range(1, 6)
    ]
    return {
        "schema": 1,
        "model": model,
        "base_model": model,
        "display_name": {"SpecGRPP": "SpecGR++"}.get(model, model),
        "group": group,
        "dataset": dataset,
        "seed": seed,
        "finished": finished,
        "metrics": {"valid": {"ndcg@50": 0.05}, "test": test},
        "protocol": protocol,
        "protocol_hash": protocol_hash(protocol),
        "settings": {"learning_rate": 0.001, "epochs": 5, "valid_metric": "NDCG@50", **(settings or {})},
        "data": {"users": 60, "items": 37, "interactions": 900, "test_targets": 240, "test_unseen_share": 0.25},
        "training": {"train": {"epochs": 5, "best_epoch": 4, "rows": 900, "seconds": 7.5, "history": history}},
        "test": {"users_per_second": 1234.5, "batch_size": 256, "batch_ms_p50": 10.0, "batch_ms_p95": 20.0},
        "parameters": {"total": 1100, "trainable": 1000, "embedding": 400, "frozen": 100},
        "peak_memory_mb": {"host": 321.0},
        "hardware": {"device": "cpu", "cpu": "a processor", "threads": 2},
        "versions": {"python": "3.11", "torch": "2.6"},
        "git_commit": "0123abcd",
        "command": f"run_recbole.py --model={model} --dataset={dataset} --seed={seed}",
    }


def make_result(model="TIGER", seed=1, good=0.4, unseen_good=0.0, **more) -> Result:
    """A result in memory."""
    ranks = make_ranks(good, unseen_good, seed + 1000 * sum(map(ord, model)))
    record = {**make_record(ranks, model, seed, **more), "ranks_digest": ranks_digest(ranks)}
    return Result({**record, "digest": digest(record)}, ranks, Path(model))


def save_run(runs: Path, result: Result, name: str = "") -> Path:
    """Write a result as the run `<runs>/<dataset>/<model>/<name>/` and return this folder."""
    record = {key: value for key, value in result.record.items() if key not in ("digest", "ranks_digest")}
    folder = runs / record["dataset"] / record["model"] / (name or f"seed{record['seed']}")
    folder.mkdir(parents=True)
    write_result(folder, record, result.ranks)
    return folder


def saved(runs: Path, **what) -> Result:
    """A result as it is read from a run."""
    return read_run(save_run(runs, make_result(**what)))


MODELS = {  # model: (group, share of hits, share of hits among the unseen)
    "MostPop": ("ID", 0.25, 0.0),
    "FDSA": ("feature + ID", 0.4, 0.0),
    "TIGER": ("generative", 0.5, 0.0),
    "Mine": (None, 0.3, 0.1),
    "SpecGR_Aux": ("ours", 0.52, 0.3),
    "SpecGRPP": ("ours", 0.6, 0.4),
}


def some_results(seeds=(1, 2, 3), **more):
    return [
        make_result(model, seed, good, unseen, group=group, **more)
        for model, (group, good, unseen) in MODELS.items()
        for seed in seeds
    ]


def row_of(board, model):
    return next(row for row in board.rows if row.model == model)
