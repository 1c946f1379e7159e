"""Speed of the importer, of the Amazon metadata reader, of rqkmeans and of loading, on made-up data.

python scripts/benchmark_data.py [--interactions N] [--megabytes N] [--items N] [--loaded N] [--loaded_by_recbole N]

`importer`, `metadata`, `rqkmeans` and `loading` measure one thing each and may be called from elsewhere. RecBole's own
loading is measured on fewer interactions, for it takes minutes and gigabytes for ten millions.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv
from tabulate import tabulate

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]  # need no install

from scaling.process import peak  # noqa: E402

from recbole_specgr.importing.amazon_reviews import read_metadata  # noqa: E402
from recbole_specgr.importing.importer import import_dataset  # noqa: E402
from recbole_specgr.semantic_ids import build_tokenizer  # noqa: E402

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


def loading(interactions: int, by_recbole: bool = False) -> list[tuple[str, float, float, float]]:
    """What it takes to load as many interactions, of a tenth as many users and items: first from the files, then, but
    for RecBole's own loading, from the cache.

    Returns:
        For each: what it is; seconds of a processor; seconds that passed; the most GB of the process.
    """
    found = []
    with tempfile.TemporaryDirectory() as folder:
        write_log(Path(folder), interactions)
        for what in ["RecBole's own"] if by_recbole else ["from the files", "into the cache", "from the cache"]:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found.append((what, *pool.apply(_loaded, (folder, what))))
    return found


def _loaded(folder: str, what: str) -> tuple[float, float, float]:
    from recbole.data.dataset import Dataset

    from recbole_specgr.data import loading_cache
    from recbole_specgr.data.dataset import InductiveDataset
    from recbole_specgr.settings.config import Config

    if what == "from the files":
        loading_cache.WORTH = sys.maxsize
    settings = {"data_path": folder, "cache_path": f"{folder}/cache", "text_fields": ["title"], "use_gpu": False}
    config = Config("SASRec", "log", config_dict={**settings, "load_col": None})
    processor, started = time.process_time(), time.perf_counter()
    if what == "RecBole's own":
        Dataset(config)
    else:
        InductiveDataset(config).build()
    taken = time.process_time() - processor, time.perf_counter() - started
    return *taken, peak() / 1e9


def write_log(folder: Path, interactions: int) -> None:
    """RecBole's atomic files of so many interactions, with ids as long as Amazon's, and items with titles."""
    rng, n = np.random.default_rng(0), max(interactions // 10, 1)
    users = pyarrow.array([f"A{number:027}" for number in range(n)])
    items = pyarrow.array([f"B{number:09}" for number in range(n)])
    place = folder / "log"
    place.mkdir()
    plain = pyarrow.csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    with open(place / "log.inter", "wb") as file:
        file.write(b"user_id:token\titem_id:token\ttimestamp:float\n")
        for start in range(0, interactions, 10**6):
            size = min(10**6, interactions - start)
            columns = {
                "user": users.take(pyarrow.array(rng.integers(n, size=size))),
                "item": items.take(pyarrow.array((rng.random(size) ** 2 * n).astype(int))),
                "time": rng.integers(1_400_000_000_000, 1_690_000_000_000, size),
            }
            pyarrow.csv.write_csv(pyarrow.table(columns), file, plain)
    with open(place / "log.item", "w") as file:
        file.write("item_id:token\ttitle:token\n")
        file.writelines(f"{item}\tItem number {number} of many\n" for number, item in enumerate(items.to_pylist()))


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
    parser.add_argument("--loaded", type=int, default=10_000_000)
    parser.add_argument("--loaded_by_recbole", type=int, default=1_000_000)
    parser.add_argument("--only_loading", action="store_true")
    options = parser.parse_args()
    found = {size: loading(size, size != options.loaded) for size in (options.loaded_by_recbole, options.loaded)}
    lines = [
        (what, f"{size:,}", f"{processor:.1f}", f"{passed:.1f}", f"{peak:.1f}")
        for size, rows in found.items()
        for what, processor, passed, peak in rows
    ]
    print(tabulate(lines, headers=("loading", "interactions", "processor, s", "passed, s", "peak, GB")), flush=True)
    if options.only_loading:
        return
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
