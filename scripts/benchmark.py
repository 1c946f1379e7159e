"""Speed and memory, measured in one run: python scripts/benchmark.py [--quick] [--device=cpu] [--only SECTION ...]

Everything is measured on the same weights, semantic ids and users, one thing after the other, and printed as tables of
medians and ratios. Each section runs in a process of its own, so that its peak memory is its own too. Weights are the
initial ones of the paper's Video Games model (4 + 4 layers, d_model 64, d_ff 1024, 4 heads of 64): these are speeds,
not accuracies. Users are ml-100k's test users with full 20-item histories (82 tokens) unless a row says otherwise.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed

PAPER = {"d_model": 64, "d_kv": 64, "d_ff": 1024, "num_layers": 4, "num_heads": 4}
K = 50


class Bench:
    """What the sections share: the device, how often to repeat, and a model on ml-100k."""

    def __init__(self, device: str, quick: bool, data: Path | None) -> None:
        self.device, self.quick, self.data = torch.device(device), quick, data
        self.repeats = 3 if quick else 7

    def median(self, run: Callable[[], object], repeats: int | None = None) -> float:
        """Median seconds of `run`, after one call that is not counted."""
        run()
        times = []
        for _ in range(repeats or self.repeats):
            times.append(self.seconds(run))
        return statistics.median(times)

    def seconds(self, run: Callable[[], object]) -> float:
        self.wait()
        started = time.perf_counter()
        run()
        self.wait()
        return time.perf_counter() - started

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def model(self, name: str, **settings):
        """The model `name` at the paper's size on ml-100k, and the train and test views."""
        from recbole.utils import init_seed

        from recbole_specgr.config import Config
        from recbole_specgr.registry import get_dataset_class

        settings = {
            **PAPER,
            "tokenizer": {"method": "rqkmeans", "codebook_size": 64},
            "MAX_ITEM_LIST_LENGTH": 20,
            "show_progress": False,
            "use_gpu": self.device.type == "cuda",
            "cache_path": str(Path(tempfile.gettempdir()) / "recbole-specgr-benchmark"),
            **settings,
        }
        config = Config(name, "ml-100k", config_dict=settings)
        init_seed(config["seed"], False)
        train, _, test = get_dataset_class(config)(config).build()
        model = config.model_class(config, train).to(self.device)
        torch.autograd.set_detect_anomaly(False)  # importing RecBole's models switches it on
        return model, train, test

    def users(self, test, n: int):
        """A batch of n test users with full histories."""
        _, length = test.histories(torch.arange(len(test)))
        rows = (length == length.max()).nonzero().squeeze(1)
        return test[rows[torch.arange(n) % len(rows)]].to(self.device)


# ---- sections: each takes a Bench and returns a heading and rows -----------------------------------------------------


def training(bench: Bench):
    """Rows a second of whole steps (forward, backward, AdamW), against the same model in transformers."""
    from recbole_specgr.backbone.transformers_weights import to_transformers
    from recbole_specgr.training.loader import BatchLoader
    from recbole_specgr.training.optimizer import build_adamw

    def steps(model, loss_of, batch) -> float:
        optimizer = build_adamw(model, 1e-3, 0.05)

        def step():
            optimizer.zero_grad(set_to_none=True)
            loss_of(batch).backward()
            optimizer.step()

        return bench.median(step, 2 if bench.quick else 4)

    rows = []
    tiger, train, _ = bench.model("TIGER")
    theirs = to_transformers(tiger.backbone)
    for module in (tiger, theirs):
        module.train()
    generation, contrast = (64, 256) if bench.quick else (256, 1024)
    batch = train.__getitem__(torch.arange(len(train))[-generation:], join=False).to(bench.device)
    tokens, labels = tiger.history_tokens(batch), tiger.tokens[batch["item_id"]]
    ours = steps(tiger, lambda b: sum(tiger.calculate_loss(b).values()), batch)
    hf = steps(
        theirs, lambda b: theirs(input_ids=tokens, attention_mask=(tokens > 0).long(), labels=labels).loss, batch
    )
    rows.append(
        [
            f"TIGER, {generation} rows",
            f"{ours:.2f} s",
            f"{generation / ours:.0f} rows/s",
            f"{hf / ours:.1f} x transformers",
        ]
    )

    spec, train, _ = bench.model("SpecGRPP", train_batch_size=generation, contrastive_batch_size=contrast)
    spec.train()
    loader = BatchLoader(train, generation, seed=0, extra_rows=contrast - generation)
    batch = next(iter(loader)).to(bench.device)
    spec.start_stage("pretrain", None)
    seconds = steps(spec, lambda b: sum(spec.calculate_loss(b).values()), batch)
    rows.append(
        [
            f"SpecGR++ pretrain, {contrast} rows of which {generation} generate",
            f"{seconds:.2f} s",
            f"{contrast / seconds:.0f} rows/s",
            "",
        ]
    )
    spec.start_stage("finetune", None)
    part = next(iter(BatchLoader(train, generation, seed=0))).to(bench.device)
    seconds = steps(spec, lambda b: sum(spec.calculate_loss(b).values()), part)
    rows.append([f"SpecGR++ finetune, {generation} rows", f"{seconds:.2f} s", f"{generation / seconds:.0f} rows/s", ""])
    return "training step", ["step", "time", "rate", "ratio"], rows


def matmul(bench: Bench):
    """The machine's matrix-product rate, which the other numbers are to be read against."""
    rows = []
    for m, k, n in ((4096, 4096, 4096), (8192, 64, 1024), (8192, 1024, 64)):
        a, b = torch.randn(m, k, device=bench.device), torch.randn(k, n, device=bench.device)
        seconds = bench.median(lambda a=a, b=b: a @ b)
        rows.append([f"{m} x {k} by {k} x {n}", f"{2 * m * k * n / seconds / 1e9:.0f} GFLOP/s"])
    return "float32 matrix products", ["shape", "rate"], rows


@torch.no_grad()
def tiger_decoding(bench: Bench):
    """Users a second of TIGER's beam search (50 beams, K = 50) against `generate` of transformers."""
    from recbole_specgr.backbone.transformers_weights import to_transformers

    model, _, test = bench.model("TIGER")
    theirs = to_transformers(model.eval().backbone).to(bench.device)
    candidates = test.candidates.to(bench.device)
    rows, best = [], 0.0
    for size in (1, 32, 64, 128):
        batch = bench.users(test, size)
        seconds = bench.median(lambda batch=batch: model.full_sort_topk(batch, K, candidates))
        best = max(best, size / seconds)
        rows.append(["TIGER", size, f"{size / seconds:.1f}", f"{1000 * seconds:.0f}", ""])
    fastest = 0.0
    for size in (1, 8) if bench.quick else (1, 8, 32):
        tokens = model.history_tokens(bench.users(test, size))

        def generate(tokens=tokens):
            theirs.generate(
                input_ids=tokens,
                attention_mask=(tokens > 0).long(),
                num_beams=K,
                num_return_sequences=K,
                min_new_tokens=len(model.level_slices),
                max_new_tokens=len(model.level_slices),
            )

        seconds = bench.median(generate, 1 if bench.quick else 3)
        fastest = max(fastest, size / seconds)
        rows.append(["transformers generate", size, f"{size / seconds:.1f}", f"{1000 * seconds:.0f}", ""])
    rows.append(["TIGER / transformers, each at its best batch", "", "", "", f"{best / fastest:.1f} x"])
    return "TIGER, 50 beams, K = 50", ["what", "batch", "users/s", "batch ms", "ratio"], rows


@torch.no_grad()
def specgr_decoding(bench: Bench):
    """SpecGR++ against our own TIGER on the same weights, by acceptance, draft size and batch."""
    from recbole_specgr.decoding.beam_search import beam_search
    from recbole_specgr.decoding.draft_verify import DraftVerifySettings, draft_verify

    model, _, test = bench.model("SpecGRPP")
    model.eval()
    candidates = test.candidates.to(bench.device)
    index, rows = model.index(candidates), []

    def speculate(batch, settings):
        users = model.encode_users(batch)
        return draft_verify(
            model.backbone, users.memory, index, model.level_slices, users.draft_scores, model.seen, K, settings
        )

    def tiger(batch):
        return beam_search(model.backbone, model.read(batch).memory, index, model.level_slices, K, K)

    sample = speculate(bench.users(test, 64), DraftVerifySettings(K, K, -1e9, adaptive_exit=False))
    middle = float(sample.scores.flatten().quantile(0.5))
    for size in (1, 64) if bench.quick else (1, 64, 128):
        batch = bench.users(test, size)
        base = bench.median(lambda batch=batch: tiger(batch))
        rows.append(["TIGER", "", size, f"{size / base:.1f}", f"{1000 * base:.0f}", "", "", "1.00"])
        for draft_size in (20, 50) if bench.quick else (20, 50, 100):
            for name, threshold in (("none accepted", 0.0), ("some accepted", middle), ("all accepted", -1e9)):
                settings = DraftVerifySettings(draft_size, K, threshold)
                seconds = bench.median(lambda batch=batch, settings=settings: speculate(batch, settings))
                result = speculate(batch, settings)
                share = float(result.accepted.sum() / result.drafted.sum())
                rows.append([
                    f"SpecGR++, {name}", draft_size, size, f"{size / seconds:.1f}", f"{1000 * seconds:.0f}",
                    f"{share:.2f}", f"{float(result.rounds.float().mean()):.1f}", f"{base / seconds:.2f}",
                ])  # fmt: skip
    header = ["what", "draft", "batch", "users/s", "batch ms", "accepted", "rounds", "x TIGER"]
    return "SpecGR++ against TIGER, 50 beams, K = 50", header, rows


@torch.no_grad()
def phases(bench: Bench):
    """Where the time of a batch goes (Table A6): encoding, drafting, verifying."""
    from recbole_specgr.decoding.draft_verify import DraftVerifySettings, draft_verify

    model, _, test = bench.model("SpecGRPP")
    model.eval()
    index, batch = model.index(test.candidates.to(bench.device)), bench.users(test, 64)
    read = bench.median(lambda: model.read(batch))
    users = model.encode_users(batch)
    draft = bench.median(lambda: model.draft_scores(batch, users).topk(K))
    settings = DraftVerifySettings(K, K, -1e9)
    verify = bench.median(
        lambda: draft_verify(
            model.backbone, users.memory, index, model.level_slices, users.draft_scores, model.seen, K, settings
        )
    )
    rows = [[name, f"{1000 * seconds / 64:.2f}"] for name, seconds in (
        ("encode histories, cross-attention keys and values", read), ("draft", draft), ("verify, one round", verify)
    )]  # fmt: skip
    return "SpecGR++, ms a user in a batch of 64", ["phase", "ms/user"], rows


def catalogue(bench: Bench):
    """100,000 items: tokenised, indexed, embedded."""
    import numpy as np

    from recbole_specgr.semantic_ids.codes import SemanticIds
    from recbole_specgr.semantic_ids.prefix_index import PrefixIndex
    from recbole_specgr.semantic_ids.rqkmeans import RQKMeans

    n = 20_000 if bench.quick else 100_000
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((2000, 64)).astype(np.float32)
    features = centres[generator.integers(len(centres), size=n + 1)]
    features += 0.5 * generator.standard_normal(features.shape).astype(np.float32)
    tokenizer = RQKMeans(levels=3, codebook_size=256)
    fit = bench.seconds(lambda: tokenizer.fit(features[1:], 0))
    codes: list = []
    encode = bench.seconds(lambda: codes.append(tokenizer.encode(features)))
    seen = np.ones(n + 1, dtype=bool)
    seen[0] = False
    ids = SemanticIds.from_codes(codes[0], tokenizer.codebook_sizes, seen)
    index = bench.seconds(lambda: PrefixIndex(ids.tokens))
    model, _, _ = bench.model("SpecGRPP")
    model.eval()
    tokens = torch.nn.functional.pad(model.tokens[1 + torch.arange(4096) % (model.n_items - 1)], (1, 1), value=1)
    with torch.no_grad():
        embed = bench.median(lambda: model.backbone.encode(tokens.to(bench.device)), 3) * n / len(tokens)
    steps = (("fit rqkmeans, 3 x 256", fit), ("encode", encode), ("prefix index", index), ("embed items", embed))
    rows = [[name, f"{seconds:.1f} s", f"{n / seconds:,.0f}"] for name, seconds in steps]
    return f"a catalogue of {n:,} items", ["step", "time", "items/s"], rows


def importing(bench: Bench):
    """From files to splits: amazon_games_2018 when --data has it, else a synthetic set of the same size."""
    import numpy as np
    import pandas as pd

    from recbole_specgr.config import Config
    from recbole_specgr.data.importer import import_dataset
    from recbole_specgr.registry import get_dataset_class

    with tempfile.TemporaryDirectory() as folder:
        source = bench.data / "amazon_games_2018" if bench.data else Path()
        interactions, items = source / "interactions.csv.gz", source / "items.jsonl.gz"
        if not interactions.is_file():
            n, generator = 453_000, np.random.default_rng(0)
            interactions, items = Path(folder, "interactions.csv.gz"), Path(folder, "items.jsonl.gz")
            frame = {"user_id": generator.integers(50_000, size=n), "item_id": generator.integers(17_000, size=n)}
            pd.DataFrame({**frame, "timestamp": generator.integers(10**9, 15 * 10**8, size=n)}).to_csv(
                interactions, index=False
            )
            titles = pd.DataFrame({"item_id": range(17_000), "title": [f"title {i}" for i in range(17_000)]})
            titles.to_json(items, orient="records", lines=True)
        table = pd.read_csv(interactions)
        imported = bench.seconds(lambda: import_dataset(interactions, items, "bench", output=folder))
        config = Config("SASRec", "bench", config_dict={"data_path": folder})
        split = bench.seconds(lambda: get_dataset_class(config)(config).build())
    rows = [
        ["import to atomic files", f"{imported:.1f} s", f"{len(table) / imported:,.0f}"],
        ["load and split", f"{split:.1f} s", f"{len(table) / split:,.0f}"],
    ]
    return f"{len(table):,} interactions", ["step", "time", "interactions/s"], rows


SECTIONS = {
    section.__name__: section
    for section in (matmul, importing, catalogue, training, tiger_decoding, specgr_decoding, phases)
}


def run_section(name: str, device: str, quick: bool, data: Path | None) -> str:
    """One section's table, with the peak memory of its process."""
    title, header, rows = SECTIONS[name](Bench(device, quick, data))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if device.startswith("cuda"):
        peak = torch.cuda.max_memory_allocated() / 2**30
    return f"{name}: {title}  (peak {peak:.1f} GB)\n" + tabulate(rows, header, disable_numparse=True) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="fewer repeats and settings")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to run")
    parser.add_argument("--data", type=Path, default=None, help="folder that holds amazon_games_2018")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("--device=cuda, but this machine has no usable GPU")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
          f"{torch.get_num_threads()} threads, {arguments.device}\n")  # fmt: skip
    context = multiprocessing.get_context("spawn")
    for name in arguments.only:
        with context.Pool(1) as pool:
            print(pool.apply(run_section, (name, arguments.device, arguments.quick, arguments.data)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
