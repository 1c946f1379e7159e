"""What each kind of part leaves in the folder, and what it says about the part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from gpu_checks.parts import Verdict

MOST = 5  # names of failed tests in a reason


def by_status(name: str) -> Callable[[int, Path], Verdict]:
    """Of a part that writes `<name>.json`."""

    def judge(status: int, folder: Path) -> Verdict:
        file = folder / f"{name}.json"
        details = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if status:
            return Verdict("failed", f"exit status {status}: see {name}.log", details)
        return Verdict("passed", "", details)

    return judge


def by_tables(name: str) -> Callable[[int, Path], Verdict]:
    """Of a section of the benchmark, which writes its tables to `<name>.json`."""

    def judge(status: int, folder: Path) -> Verdict:
        if status:
            return Verdict("failed", f"exit status {status}: see {name}.log")
        return Verdict("passed", "", {"tables": json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))})

    return judge


def by_tests(name: str) -> Callable[[int, Path], Verdict]:
    """Of tests, whose results pytest writes to `<name>.xml`."""

    def judge(status: int, folder: Path) -> Verdict:
        cases = list(ElementTree.parse(folder / f"{name}.xml").getroot().iter("testcase"))
        bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
        skipped = [case for case in cases if case.find("skipped") is not None]
        counts = {"passed": len(cases) - len(bad) - len(skipped), "failed": len(bad), "skipped": len(skipped)}
        details = {"tests": counts, "failures": [_failure(case) for case in bad]}
        if bad:
            names = ", ".join(_name(case) for case in bad[:MOST])
            more = f" and {len(bad) - MOST} more" if len(bad) > MOST else ""
            return Verdict("failed", f"{len(bad)} of {len(cases)} tests: {names}{more}", details)
        if status not in (0, 5):  # 5: none was selected
            return Verdict("failed", f"pytest ended with status {status}: see {name}.log", details)
        if not counts["passed"]:
            reasons = {_message(case.find("skipped")) for case in skipped} or {"no test was selected"}
            return Verdict("skipped", "; ".join(sorted(reasons)), details)
        return Verdict("passed", "", details)

    return judge


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name')}"


def _failure(case: ElementTree.Element) -> dict[str, str]:
    fault = case.find("failure") if case.find("failure") is not None else case.find("error")
    return {"test": _name(case), "message": _message(fault)[:500]}


def _message(fault: ElementTree.Element | None) -> str:
    return "" if fault is None else (fault.get("message") or fault.text or "").strip()
