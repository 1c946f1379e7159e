"""All that can only be known on a GPU, in ten minutes.

python scripts/gpu_check.py [--device=cpu] [--quick] [--out FOLDER]

Tests marked `gpu`, the benchmark's tables and peak memory, and one report of all of it, `gpu_check.md` and
`gpu_check.json`, to attach to an issue. Every part runs in a process of its own with a limit; one that fails says so
and the rest goes on. The report is written after each part, so that what is known is kept whatever happens.

With --device=cpu nothing needs a GPU: tests run on the pretended one (tests/pretended_gpu.py), the benchmark on the
CPU. --quick is a dry run of one part of each kind, with a tiny model.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]  # needs no install

from gpu_checks.judges import by_status, by_tables, by_tests  # noqa: E402
from gpu_checks.parts import Outcome, Part, Verdict, run_part  # noqa: E402
from gpu_checks.report import REPORT, write_report  # noqa: E402

OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
MODELS = "tests/models/test_models.py"
GROUPS = {  # of cases in MODELS, so that what breaks the GPU for one process leaves the others
    "tiger": "TestTIGER or TestDSI or TestLIGER",
    "specgr": "TestSpecGR",
    "decoder-only": "TestDecoderOnly",
    "text": "TestUniSRec or TestSASRec_T or TestTextSASRec or HSTU or TestRecformer",
}
OTHERS = "not (" + " or ".join(GROUPS.values()) + ")"
SECTIONS = {  # of the benchmark, with a limit each; ours against transformers first
    "tiger_training": 60,
    "tiger_decoding": 90,
    "specgr_decoding": 90,
    "specgr_training": 60,
    "windows_training": 60,
    "parallel_digits": 60,
    "phases": 40,
    "matmul": 20,
}
ON_A_CPU = 10  # times the limits, which are a GPU's
QUICK = ("machine", "tests-tiger", "speed-tiger_training", "speed-tiger_decoding")  # parts of a dry run


def parts(device: str, quick: bool, folder: Path) -> list[Part]:
    """The parts in their order: what has to be right before what is fast."""
    found = [
        _python("machine", ["scripts/gpu_checks/machine.py", f"--device={device}"], folder, 60, by_status("machine"))
    ]
    chosen = {"tiger": "TestTIGER and not TestTIGER_C"} if quick else {**GROUPS, "others": OTHERS}
    found += [_tests(name, device, folder, [MODELS, "-k", words]) for name, words in chosen.items()]
    found += [
        _tests("ids-and-text", device, folder, ["tests/semantic_ids", "tests/text"]),
        _tests("memory", device, folder, ["tests/training/test_gpu_memory.py"]),
        _tests("processes", device, folder, ["tests/training/test_processes_on_gpus.py"], limit=240),
    ]
    for name, limit in SECTIONS.items():
        words = ["scripts/benchmark.py", f"--device={device}", f"--only={name}", *(["--tiny"] if quick else [])]
        found.append(_python(f"speed-{name}", words, folder, limit, by_tables(f"speed-{name}")))
    if device == "cuda":
        return found
    # One thread: those of a tiny model wait for each other where other programs run, too.
    one = {"OMP_NUM_THREADS": "1"} if quick else {}
    return [replace(p, limit=ON_A_CPU * p.limit, environment={**p.environment, **one}) for p in found]


def _python(name: str, words: list[str], folder: Path, limit: float, judge) -> Part:
    """A part that writes `<name>.json`."""
    return Part(name, [sys.executable, *words, f"--json={folder / name}.json"], limit, judge, OFFLINE)


def _tests(name: str, device: str, folder: Path, words: list[str], limit: float = 150) -> Part:
    name = f"tests-{name}"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--tb=short", "-p", "no:cacheprovider"]
    command += [f"--junitxml={folder / name}.xml", *(["--pretend-gpu"] if device == "cpu" else []), *words]
    return Part(name, command, limit, by_tests(name), {**OFFLINE, "OMP_NUM_THREADS": "1"})


def check(device: str, quick: bool, minutes: float, folder: Path) -> list[Outcome]:
    """Run all parts and write the report after each."""
    folder.mkdir(parents=True, exist_ok=True)
    todo, outcomes, facts = parts(device, quick, folder), [], {"device": device}
    end = time.monotonic() + 60 * minutes
    usable = True
    for number, part in enumerate(todo):
        if quick and part.name not in QUICK:
            outcome = Outcome(part.name, Verdict("skipped", "--quick leaves it out"))
        elif not usable:
            outcome = Outcome(part.name, Verdict("skipped", "there is no usable GPU"))
        else:
            outcome = run_part(part, folder, end - time.monotonic())
        outcomes.append(outcome)
        if part.name == "machine":
            facts |= outcome.verdict.details
            usable = outcome.verdict.state == "passed"
        state = outcome.verdict.state
        print(f"{state:7}  {part.name}  {outcome.seconds:.0f} s  {outcome.verdict.reason}".rstrip(), flush=True)
        write_report(folder, facts, outcomes, [later.name for later in todo[number + 1 :]])
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="one part of each kind, with a tiny model")
    parser.add_argument("--minutes", type=float, default=10, help="that all of it may take")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-check", help="folder of the report")
    arguments = parser.parse_args()
    folder = arguments.out.resolve()
    outcomes = check(arguments.device, arguments.quick, arguments.minutes, folder)
    print(f"\nThe report: {folder / REPORT}.md and .json")
    return int(any(outcome.verdict.state == "failed" for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
