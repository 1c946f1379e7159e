"""Speed of a finished run in use: loading it, adding items, and recommending against the engine alone.

python scripts/benchmark_serving.py [--items N] [--users N] [--device cpu]

The run is SpecGR++ at the paper's size with its initial weights, on made-up items with text vectors of 128 numbers:
these are speeds, not accuracies.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed

from recbole_specgr.building.build import model_of
from recbole_specgr.data.dataset import InductiveDataset
from recbole_specgr.items.catalogue import ITEMS, Catalogue
from recbole_specgr.runs.checkpoint import save_checkpoint
from recbole_specgr.runs.folder import checkpoint_of, write_config
from recbole_specgr.serving import Recommender
from recbole_specgr.settings.config import Config
from recbole_specgr.system.allocator import keep_freed_memory

K, BATCH, WIDTH, ADDED = 50, 64, 128, 10_000
LOAD = """
import sys, time
import torch
wall, cpu = time.perf_counter(), time.process_time()
from recbole_specgr.serving import Recommender
Recommender.load(sys.argv[1], device=sys.argv[2])
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def vectors(n: int, seed: int) -> np.ndarray:
    """Text vectors `[n, WIDTH]` in 1,000 clusters, the same for every seed."""
    centres = np.random.default_rng(0).standard_normal((1000, WIDTH), dtype=np.float32)
    rng = np.random.default_rng(seed)
    return centres[rng.integers(1000, size=n)] + 0.5 * rng.standard_normal((n, WIDTH), dtype=np.float32)


def codebooks(features: np.ndarray, levels: int = 3, size: int = 256) -> np.ndarray:
    """Residual codebooks `[levels, size, WIDTH]` of vectors that are taken by chance."""
    rest, books = features[:20_000].copy(), []
    for level in range(levels):
        book = rest[np.random.default_rng(level).choice(len(rest), size, replace=False)]
        nearest = (rest @ book.T - 0.5 * (book**2).sum(1)).argmax(1)
        rest -= book[nearest]
        books.append(book)
    return np.stack(books)


def make_run(folder: Path, n_items: int) -> Path:
    """A run as training leaves it, on a data set in which ten items a user, and each item once, were used."""
    data, run = folder / "dataset" / "made_up", folder / "run"
    data.mkdir(parents=True)
    run.mkdir()
    items, features = np.array([f"B{number:09}" for number in range(n_items)]), vectors(n_items, 1)
    order = np.random.default_rng(0).permutation(n_items)
    rows = {"user_id:token": np.arange(n_items) // 10, "item_id:token": items[order], "timestamp:float": range(n_items)}
    pd.DataFrame(rows).to_csv(data / "made_up.inter", sep="\t", index=False)
    pd.DataFrame({"item_id:token": items}).to_csv(data / "made_up.item", sep="\t", index=False)
    np.savez(data / "vectors.npz", item_id=items, features=features)
    np.savez(folder / "codebooks.npz", codebooks=codebooks(features))
    settings = {
        "data_path": str(folder / "dataset"),
        "run_dir": str(run),
        "cache_path": str(folder / "cache"),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id"]},
        "text_encoder": "vectors.npz",
        "tokenizer": {"codebooks": str(folder / "codebooks.npz")},
        "timestamp_split": [0.98, 0.99],
        "show_progress": False,
    }
    config = Config("SpecGRPP", "made_up", config_dict=settings)
    train, _, test = InductiveDataset(config).build()
    model = model_of(config, train)
    write_config(run, config)
    save_checkpoint(checkpoint_of(run, config), model)
    kept = np.random.default_rng(4).standard_normal((model.n_items, config["d_model"]), dtype=np.float32)
    kept = {":_item_vectors": kept / np.linalg.norm(kept, axis=1, keepdims=True)}  # to encode them all takes long
    replace(Catalogue.from_dataset(config, test), caches=kept).save(run / ITEMS)
    return run


class Seconds(NamedTuple):
    """By the clock, and of processor time, which other work on the machine changes less."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.2f} s ({self.cpu:.2f} s of processor time)"


def median(found: Iterable[Seconds]) -> Seconds:
    walls, cpus = zip(*found)
    return Seconds(statistics.median(walls), statistics.median(cpus))


def timed(measured: Callable[[], object]) -> Seconds:
    wall, cpu = time.perf_counter(), time.process_time()
    measured()
    return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def load_seconds(run: Path, device: str) -> Seconds:
    """Of importing this package and loading the run, in a process that has imported torch; the first is not counted."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    words = [sys.executable, "-W", "ignore", "-c", LOAD, str(run), device]
    done = [subprocess.run(words, env=environment, capture_output=True, text=True, check=True) for _ in range(3)]
    return median(Seconds(*map(float, process.stdout.split()[-2:])) for process in done[1:])


def add_seconds(run: Path, device: str) -> Seconds:
    frame, features = pd.DataFrame({"item_id": [f"N{number}" for number in range(ADDED)]}), vectors(ADDED, 2)
    recommenders = [Recommender.load(run, device) for _ in range(3)]
    return median([timed(lambda r=r: r.add_items(frame, features)) for r in recommenders][1:])


@torch.no_grad()
def list_seconds(run: Path, device: str, precision: str, n_users: int) -> tuple[Seconds, Seconds]:
    """Of the engine, which gets its batches ready-made, and of `recommend`, taking turns."""
    recommender = Recommender.load(run, device, precision)
    state, rng = recommender._state, np.random.default_rng(3)
    longest = recommender.config["MAX_ITEM_LIST_LENGTH"]
    rows = [rng.choice(len(state.row_of), size=1 + user % longest, replace=False) + 1 for user in range(n_users)]
    rows.sort(key=len)
    histories = [state.catalogue.item_tokens[history].tolist() for history in rows]
    batches = [recommender.interaction(state, rows[start : start + BATCH]) for start in range(0, n_users, BATCH)]

    def engine() -> None:
        for batch in batches:
            recommender.model.full_sort_topk(batch, K, state.allowed).cpu()

    def serving() -> None:
        recommender.recommend(histories, K, batch_size=BATCH)

    turns = [(timed(engine), timed(serving)) for _ in range(4)][1:]
    return median(first for first, _ in turns), median(second for _, second in turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=256)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    keep_freed_memory()  # as recbole-specgr does
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), options.items)
        rows = [("load, beyond importing torch", str(load_seconds(run, options.device)))]
        rows.append((f"add_items, {ADDED:,} items", str(add_seconds(run, options.device))))
        for precision in ("fp32", "fp64"):
            engine, serving = list_seconds(run, options.device, precision, options.users)
            rows.append((f"engine, {precision}", f"{options.users / engine.wall:.0f} users/s"))
            ratios = (
                f"{engine.wall / serving.wall:.2f} of the engine's ({engine.cpu / serving.cpu:.2f} by processor time)"
            )
            rows.append((f"recommend, {precision}", f"{options.users / serving.wall:.0f} users/s, {ratios}"))
    print(f"{options.items:,} items, lists of {K}, batches of {BATCH}, {torch.get_num_threads()} threads")
    print(tabulate(rows, headers=("", ""), disable_numparse=True))


if __name__ == "__main__":
    main()
