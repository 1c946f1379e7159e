"""Speed of the importer, of the Amazon metadata reader and of rqkmeans, on made-up data in the sources' formats.

python scripts/benchmark_data.py [--interactions N] [--megabytes N] [--items N]

`importer`, `metadata` and `rqkmeans` measure one thing each and may be called from elsewhere.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout need not be installed

from recbole_specgr.importing.amazon_reviews import read_metadata
from recbole_specgr.importing.importer import import_dataset
from recbole_specgr.semantic_ids import build_tokenizer

_WORDS = ("quest", "arena", "legend", "puzzle", "galaxy", "kingdom", "racing", "shadow", "island", "of", "the", "and")


def importer(interactions: int = 2_000_000, compressed: bool = False) -> float:
    """Interactions a second, from a CSV file and one of items to the folder of the data set."""
    rng = np.random.default_rng(0)
    n_users, n_items = max(interactions // 8, 1), max(interactions // 25, 1)
    users = [f"A{number:027}" for number in range(n_users)]
    items = [f"B{number:09}" for number in range(n_items)]
    who, what = rng.integers(n_users, size=interactions), (rng.random(interactions) ** 2 * n_items).astype(int)
    when = np.sort(rng.integers(1_400_000_000_000, 1_690_000_000_000, interactions))
    with tempfile.TemporaryDirectory() as folder:
        reviews, meta = Path(folder) / "reviews.csv", Path(folder) / "meta.jsonl"
        with open(reviews, "w") as file:
            file.write("user_id,parent_asin,rating,timestamp\n")
            file.writelines(f"{users[u]},{items[i]},5.0,{t}\n" for u, i, t in zip(who, what, when.tolist()))
        with open(meta, "w") as file:
            file.writelines(json.dumps({"parent_asin": item, "title": f"Item {item}"}) + "\n" for item in items)
        if compressed:
            reviews = _compress(reviews)
        started = time.perf_counter()
        import_dataset(reviews, meta, "benchmark", Path(folder) / "dataset")
        return interactions / (time.perf_counter() - started)


def metadata(megabytes: int = 200, compressed: bool = False, kept: float = 0.2) -> float:
    """Megabytes (of plain JSON lines) a second, where a share of `kept` of the items is in the interactions."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(_WORDS, size=30)) for _ in range(500)]
    wanted, size, number = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "meta_Benchmark.jsonl"
        with open(path, "wb") as file:
            while size < megabytes * 10**6:
                item = f"B{number:09}"
                if rng.random() < kept:
                    wanted.append(item)
                size += file.write(_row(item, [texts[(number * 7 + n) % len(texts)] for n in range(12)]))
                number += 1
        if compressed:
            path = _compress(path)
        counts: dict[str, int] = {}
        started = time.perf_counter()
        found = read_metadata([path], wanted, counts, show_progress=False)
        seconds = time.perf_counter() - started
        assert len(found) == len(wanted)
        return size / 10**6 / seconds


def rqkmeans(
    items: int = 100_000, balanced: bool = False, width: int = 768, levels: int = 3, codes: int = 256
) -> float:
    """Seconds to fit the tokenizer on vectors of so many items and to encode them all."""
    rng = np.random.default_rng(0)
    topics = rng.normal(size=(500, width)).astype(np.float32)
    vectors = topics[rng.integers(500, size=items)] + rng.normal(size=(items, width), scale=0.7).astype(np.float32)
    group = {"method": "rqkmeans", "levels": levels, "codebook_size": codes, "rqkmeans": {"balanced": balanced}}
    started = time.perf_counter()
    build_tokenizer(group).fit(vectors, seed=0).encode(vectors)
    return time.perf_counter() - started


def _row(item: str, texts: list[str]) -> bytes:
    images = [{"thumb": f"https://example.com/{n}.jpg", "large": f"https://example.com/{n}l.jpg"} for n in range(6)]
    row = {
        **{"main_category": "Video Games", "title": texts[0][:80], "average_rating": 4.5, "rating_number": 7},
        **{"features": texts[1:6], "description": texts[6:], "price": None, "images": images, "videos": []},
        **{"store": "Maker", "categories": ["Video Games", "PC", "Games"], "details": {"Brand": "Maker"}},
        **{"parent_asin": item, "bought_together": None},
    }
    return json.dumps(row).encode() + b"\n"


def _compress(path: Path) -> Path:
    with open(path, "rb") as plain, gzip.open(f"{path}.gz", "wb", compresslevel=6) as packed:
        shutil.copyfileobj(plain, packed)
    path.unlink()
    return Path(f"{path}.gz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interactions", type=int, default=2_000_000)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--items", type=int, default=100_000)
    options = parser.parse_args()
    rows = []
    for end, compressed in (("", False), (".gz", True)):
        rows.append((f"metadata, .jsonl{end}", f"{metadata(options.megabytes, compressed):,.0f} MB/s"))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for end, compressed in (("", False), (".gz", True)):
        rows.append((f"importer, .csv{end}", f"{importer(options.interactions, compressed):,.0f} interactions/s"))
    rows.append(("peak memory up to the metadata", f"{memory:,.0f} MiB"))
    for name, balanced in (("rqkmeans, 3 x 256", False), ("rqkmeans, 3 x 256, balanced", True)):
        rows.append((f"{name}, {options.items:,} items", f"{rqkmeans(options.items, balanced):,.1f} s"))
    print(tabulate(rows, headers=("", "")))


if __name__ == "__main__":
    main()
