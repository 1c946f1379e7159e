"""The report: one Markdown file to read and one of JSON, both to attach to an issue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpu_checks.parts import Outcome
from recbole_specgr.system.files import atomic_write

REPORT = "gpu_check"


def write_report(folder: Path, facts: dict[str, Any], outcomes: Sequence[Outcome], waiting: Sequence[str]) -> None:
    """Write the report as far as the check has come.

    Args:
        facts: of the machine, by name.
        waiting: names of the parts that have not run yet.
    """
    plain = {"machine": facts, "parts": [asdict(outcome) for outcome in outcomes], "waiting": list(waiting)}
    for suffix, text in (("json", json.dumps(plain, indent=2)), ("md", markdown(facts, outcomes, waiting))):
        with atomic_write(folder / f"{REPORT}.{suffix}") as temporary:
            temporary.write_text(text, encoding="utf-8")


def markdown(facts: dict[str, Any], outcomes: Sequence[Outcome], waiting: Sequence[str]) -> str:
    states = [outcome.verdict.state for outcome in outcomes]
    counted = ", ".join(f"{states.count(state)} {state}" for state in ("passed", "failed", "skipped"))
    lines = [
        "# Check on a GPU",
        "",
        f"**{counted}{f', {len(waiting)} still to come' if waiting else ''}.**",
        "",
        *_table(["", ""], [[name, _fact(value)] for name, value in facts.items()]),
        "",
        "## Parts",
        "",
        *_table(
            ["part", "state", "s", "why"],
            [[o.name, o.verdict.state, f"{o.seconds:.0f}", _what(o)] for o in outcomes]
            + [[name, "to come", "", ""] for name in waiting],
        ),
    ]
    tables = [table for outcome in outcomes for table in outcome.verdict.details.get("tables", ())]
    if tables:
        where = "GPU memory that tensors had" if facts.get("device") == "cuda" else "main memory"
        peaks = [[table["section"], f"{table['peak_gb']:.2f}"] for table in tables]
        lines += ["", "## Peak memory", "", *_table(["section", f"GB of {where}"], peaks), "", "## Speed"]
    for table in tables:
        lines += ["", f"### {table['section']}: {table['title']}", "", *_table(table["header"], table["rows"])]
    for outcome in outcomes:
        if outcome.verdict.state == "failed":
            lines += ["", f"## What failed: {outcome.name}", ""]
            lines += [f"- `{f['test']}`: {_cell(f['message'])}" for f in outcome.verdict.details.get("failures", ())]
            lines += ["", "```", outcome.tail.replace("```", "'''").strip(), "```"]
    return "\n".join(lines) + "\n"


def _what(outcome: Outcome) -> str:
    tests = outcome.verdict.details.get("tests")
    counted = ", ".join(f"{count} {state}" for state, count in tests.items() if count) if tests else ""
    return outcome.verdict.reason or counted


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [
        "| " + " | ".join(map(_cell, header)) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(map(_cell, row)) + " |" for row in rows),
    ]


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
