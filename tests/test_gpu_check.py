"""`make gpu-check` where there is no GPU: its dry run, what it does when parts fail, and the benchmark's sections."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from unittest import mock

import pytest
from conftest import ROOT
from pretended_gpu import PretendedGpu

sys.path.append(str(ROOT / "scripts"))

import benchmark
import gpu_check
from benchmarks import decoding
from benchmarks.bench import Bench, Times
from gpu_checks.judges import by_status, by_tests
from gpu_checks.parts import Outcome, Part, Verdict, run_part
from gpu_checks.report import markdown


def python(name: str, code: str, limit: float = 60, judge=None) -> Part:
    return Part(name, [sys.executable, "-c", code], limit, judge or by_status(name))


def test_the_dry_run_passes_and_its_report_says_what_ran(tmp_path) -> None:
    command = [sys.executable, "scripts/gpu_check.py", "--device=cpu", "--quick", "--minutes=60", f"--out={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "gpu_check.json").read_text())
    states = {part["name"]: part["verdict"]["state"] for part in report["parts"]}
    assert {name for name, state in states.items() if state == "passed"} == set(gpu_check.QUICK)
    assert set(states.values()) == {"passed", "skipped"} and not report["waiting"]
    assert report["machine"]["packages"]["torch"] and report["machine"]["cores"]
    tests = next(part for part in report["parts"] if part["name"] == "tests-tiger")
    assert tests["verdict"]["details"]["tests"]["passed"] >= 5
    page = (tmp_path / "gpu_check.md").read_text()
    assert "## Peak memory" in page and "transformers generate, fp32" in page and "What failed" not in page


def test_every_case_is_in_one_group() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "gpu", gpu_check.MODELS]
    found = []
    for words in ("", *gpu_check.GROUPS.values(), gpu_check.OTHERS):
        done = subprocess.run([*command, "-k", words], cwd=ROOT, capture_output=True, text=True)
        found.append({line for line in done.stdout.splitlines() if "::" in line})
    whole, *groups = found
    assert len(whole) > 80 and all(groups)
    assert sum(map(len, groups)) == len(whole) and set.union(*groups) == whole


def test_parts_fail_for_themselves(tmp_path) -> None:
    started = time.monotonic()
    endless = run_part(python("endless", "import time; time.sleep(100)", limit=6), tmp_path, 600)
    assert (endless.verdict.state, endless.verdict.reason) == ("failed", "it was ended after its 6 seconds")
    assert time.monotonic() - started < 60
    raising = run_part(python("raising", "print('before'); raise SystemExit('boom')"), tmp_path, 600)
    assert raising.verdict == Verdict("failed", "exit status 1: see raising.log") and raising.tail == "before\nboom\n"
    crashing = run_part(python("crashing", "import os; os.abort()", judge=by_tests("crashing")), tmp_path, 600)
    assert crashing.verdict.state == "failed" and "crashing.xml" in crashing.verdict.reason
    absent = run_part(Part("absent", ["no-such-program"], 60, by_status("absent")), tmp_path, 600)
    assert absent.verdict.state == "failed" and "no-such-program" in absent.verdict.reason
    late = run_part(python("late", ""), tmp_path, 3)
    assert late.verdict == Verdict("skipped", "no time was left for it")
    page = markdown({"device": "cuda"}, [endless, raising, crashing, absent, late], ["another"])
    assert page.count("## What failed") == 4 and "**0 passed, 4 failed, 1 skipped, 1 still to come.**" in page


def test_without_a_usable_gpu_it_says_so_and_ends(tmp_path) -> None:
    broken = Outcome("machine", Verdict("failed", "torch finds no usable GPU"))
    with mock.patch.object(gpu_check, "run_part", return_value=broken) as ran:
        outcomes = gpu_check.check("cuda", False, 1, tmp_path)
    assert ran.call_count == 1
    assert {outcome.verdict.reason for outcome in outcomes[1:]} == {"there is no usable GPU"}
    assert "torch finds no usable GPU" in (tmp_path / "gpu_check.md").read_text()


def test_failed_tests_are_named(tmp_path) -> None:
    file = tmp_path / "test_it.py"
    tests = ("assert 1 == 2", "pass", "pytest.skip('no GPU')")
    lines = [f"def test_{name}(): {test}" for name, test in zip("abc", tests, strict=True)]
    file.write_text("\n".join(["import pytest", *lines]))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}"]
    for name, words, state, reason in (
        ("all", [], "failed", "1 of 3 tests: test_it.test_a"),
        ("right", ["-k", "test_b"], "passed", ""),
        ("skipped", ["-k", "test_c"], "skipped", "no GPU"),
        ("none", ["-k", "nothing"], "skipped", "no test was selected"),
    ):
        part = Part(name, [*command, f"--junitxml={tmp_path / name}.xml", str(file), *words], 60, by_tests(name))
        verdict = run_part(part, tmp_path, 60).verdict
        assert (verdict.state, verdict.reason) == (state, reason), verdict


@pytest.mark.parametrize("section", gpu_check.SECTIONS)
def test_sections_of_the_benchmark_keep_to_the_device(section, monkeypatch) -> None:
    def once(bench: Bench, *runs, repeats=None) -> list[Times]:
        return [Times([bench.seconds(run)]) for run in runs]

    monkeypatch.setattr(Bench, "times", once)
    monkeypatch.setattr(decoding, "recorded", lambda model, run: run)  # CUDA graphs are CUDA's
    with PretendedGpu():
        title, header, rows = benchmark.SECTIONS[section](Bench("cuda", True, None, tiny=True))
    assert title and rows and all(len(row) == len(header) for row in rows)
