"""Speed and memory, measured in one run:

python scripts/benchmark.py [--quick] [--device=cpu] [--only SECTION ...] [--json FILE]

Everything is measured on the same weights, semantic ids and users, one thing after the other, and printed as tables of
medians and ratios. Each section runs in a process of its own, so that its peak memory is its own too. Weights are the
initial ones of the paper's Video Games model (4 + 4 layers, d_model 64, d_ff 1024, 4 heads of 64): these are speeds,
not accuracies. Users are ml-100k's test users with full 20-item histories (82 tokens) unless a row says otherwise.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]  # need no install

from benchmarks.architectures import architectures  # noqa: E402
from benchmarks.bench import Bench  # noqa: E402
from benchmarks.data import catalogue, drafting, importing  # noqa: E402
from benchmarks.decoding import digits, phases, specgr_decoding, subsets, tiger_decoding  # noqa: E402
from benchmarks.parallel import parallel_digits  # noqa: E402
from benchmarks.profile import profile  # noqa: E402
from benchmarks.scale import scale  # noqa: E402
from benchmarks.training import matmul, specgr_training, tiger_training, windows_training  # noqa: E402

from recbole_specgr.system.allocator import keep_freed_memory  # noqa: E402
from recbole_specgr.system.files import atomic_write  # noqa: E402

SECTIONS = {
    section.__name__: section
    for section in (
        matmul,
        tiger_training,
        specgr_training,
        windows_training,
        architectures,
        tiger_decoding,
        specgr_decoding,
        phases,
        profile,
        digits,
        subsets,
        parallel_digits,
        catalogue,
        drafting,
        scale,
        importing,
    )
}


def run_section(name: str, device: str, quick: bool, tiny: bool, data: Path | None) -> dict[str, Any]:
    """One section's table, with the peak memory of its process in GB: of the GPU where it is on one."""
    keep_freed_memory()  # as run_recbole.py does
    bench = Bench(device, quick, data, tiny)
    title, header, rows = SECTIONS[name](bench)
    return {
        "section": name,
        "title": title,
        "header": list(header),
        "rows": rows,
        "peak_gb": bench.peak_memory() / 2**30,
    }


def printed(table: dict[str, Any]) -> str:
    lines = tabulate(table["rows"], table["header"], disable_numparse=True)
    return f"{table['section']}: {table['title']}  (peak {table['peak_gb']:.1f} GB)\n{lines}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--quick", action="store_true", help="fewer repeats and settings")
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to see that everything runs")
    parser.add_argument("--json", type=Path, default=None, help="a file for the tables as plain data")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="sections to run")
    parser.add_argument(
        "--data", type=Path, default=None, help="folder that holds amazon_games_2018 and amazon_beauty_2014"
    )
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("--device=cuda, but this machine has no usable GPU")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
          f"{torch.get_num_threads()} threads, {arguments.device}\n")  # fmt: skip
    context, tables = multiprocessing.get_context("spawn"), []
    for name in arguments.only:
        with context.Pool(1) as pool:
            how = arguments.device, arguments.quick, arguments.tiny, arguments.data
            tables.append(pool.apply(run_section, (name, *how)))
        print(printed(tables[-1]), flush=True)
    if arguments.json:
        with atomic_write(arguments.json) as temporary:
            temporary.write_text(json.dumps(tables, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
