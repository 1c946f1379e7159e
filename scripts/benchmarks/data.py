"""Catalogues and interactions."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmarks.bench import Bench, K


def catalogue(bench: Bench):
    """100,000 items: tokenised, indexed, embedded."""
    import numpy as np

    from recbole_specgr.semantic_ids.codes import SemanticIds
    from recbole_specgr.semantic_ids.prefix_index import PrefixIndex
    from recbole_specgr.semantic_ids.tokenizers.rqkmeans import RQKMeans

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


def drafting(bench: Bench):
    """The 50 best of many items for 32 users: one matrix product, or faiss."""
    rows = []
    for n in (20_000, 100_000) if bench.quick else (20_000, 100_000, 1_000_000):
        rows += _drafting(bench, n)
    return "draft 50 items for 32 users", ["items", "by", "ms", "of the exact 50", "build s"], rows


def _drafting(bench: Bench, n: int) -> list[list[str]]:
    from recbole_specgr.decoding.nearest import NearestItems

    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(1000, 64, generator=generator)
    vectors = centres[torch.randint(1000, (n + 32,), generator=generator)]
    vectors = torch.nn.functional.normalize(vectors + torch.randn(n + 32, 64, generator=generator), dim=1)
    vectors, users, items = vectors[:n].to(bench.device), vectors[n:].to(bench.device), torch.arange(n)
    seconds = bench.median(lambda: (users @ vectors.T).topk(K))
    exact = (users @ vectors.T).topk(K).indices
    rows = [[f"{n:,}", "matrix product", f"{1000 * seconds:.1f}", "1.00", ""]]
    for factory in ("Flat", "HNSW32") if n <= 100_000 else ("Flat",):  # the graph takes minutes to build for a million
        made: list[NearestItems] = []
        build = bench.seconds(lambda factory=factory: made.append(NearestItems(vectors, items, factory)))  # noqa: B023
        nearest = made[0]
        seconds = bench.median(lambda nearest=nearest: nearest.search(users, K))
        found = nearest.search(users, K)[0].to(bench.device)
        share = (found[:, :, None] == exact[:, None, :]).any(2).float().mean()
        rows.append([f"{n:,}", f"faiss {factory}", f"{1000 * seconds:.1f}", f"{share:.2f}", f"{build:.1f}"])
    return rows


def importing(bench: Bench):
    """From files to splits: amazon_games_2018 when --data has it, else a synthetic set of the same size."""
    import numpy as np
    import pandas as pd

    from recbole_specgr.data.dataset import InductiveDataset
    from recbole_specgr.importing.importer import import_dataset
    from recbole_specgr.settings.config import Config

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
        split = bench.seconds(lambda: InductiveDataset(config).build())
    rows = [
        ["import to atomic files", f"{imported:.1f} s", f"{len(table) / imported:,.0f}"],
        ["load and split", f"{split:.1f} s", f"{len(table) / split:,.0f}"],
    ]
    return f"{len(table):,} interactions", ["step", "time", "interactions/s"], rows
