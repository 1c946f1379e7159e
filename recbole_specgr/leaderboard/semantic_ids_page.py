"""The tokenizer report as text, as a page with plots, and several of them as one table."""

from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from recbole_specgr.leaderboard.plots.draw import to_svg
from recbole_specgr.leaderboard.plots.plot import Axis, Plot, Series
from recbole_specgr.semantic_ids.codes import SemanticIds
from recbole_specgr.system.files import atomic_write
from recbole_specgr.system.terminal import plain_table

Table = tuple[str, list[str], list[list[str]]]  # title, head, rows


def text_report(report: dict[str, Any]) -> str:
    """The report for the console."""
    parts = [f"Semantic ids of {report['dataset']}: {report['ids']}, {report['seconds']:.1f} s"]
    for title, head, rows in _tables(report):
        parts.append(f"{title}\n{plain_table(rows, head)}")
    return "\n\n".join(parts)


def comparison(reports: dict[str, dict[str, Any]]) -> str:
    """One line for each of several reports on the same items."""
    head = ["ids", "seconds", "codes used", "entropy", "distinct", "largest group", "seen-seen", "seen-unseen"]
    head += ["error seen", "error unseen", "text", "text, unseen", "use", "healthy"]
    rows = []
    for label, report in reports.items():
        levels, pairs = report["levels"], report["collisions"]
        error, near = report["reconstruction"] or {}, report["neighbours"] or {}
        of_unseen = report["neighbours_of_unseen"] or {}
        rows.append(
            [
                label,
                f"{report['seconds']:.1f}",
                "/".join(f"{level['used']}" for level in levels),
                "/".join(f"{level['entropy']:.2f}" for level in levels),
                f"{report['distinct'] / max(1, report['items']):.1%}",
                str(report["largest_group"]),
                f"{pairs['seen_seen']:,}",
                f"{pairs['seen_unseen']:,}",
                _number(error.get("seen")),
                _number(error.get("unseen")),
                _share(near.get("text")),
                _share(of_unseen.get("text")),
                _share(near.get("together")),
                "no" if report["collapse"] else "yes",
            ]
        )
    note = (
        "text, use: of a seen item's 10 nearest items in text, and of the 10 used by most of the same users, the share "
        "among its 10 nearest in code space; of an unseen item's, both among the seen items."
    )
    return f"{plain_table(rows, head)}\n{note}"


def write_page(path: Path, report: dict[str, Any], ids: SemanticIds) -> None:
    """Write the report with its plots as one HTML file that needs nothing else."""
    title = f"Semantic ids of {report['dataset']}: {report['ids']}"
    body = [f"<h1>{escape(title)}</h1>"]
    if report["collapse"]:
        body.append(f'<p class="collapse"><strong>{escape(report["collapse"])}</strong></p>')
    for name, head, rows in _tables(report):
        body.append(f"<h2>{escape(name)}</h2>\n{_html_table(head, rows)}")
    body += [f"<figure>{to_svg(plot)}</figure>" for plot in plots(report, ids)]
    page = PAGE.format(title=escape(title), body="\n".join(body))
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def plots(report: dict[str, Any], ids: SemanticIds) -> list[Plot]:
    """Use of the codes, sizes of the groups, neighbours by prefix."""
    codes = ids.codes[1:, :-1].cpu().numpy()
    uses = [
        _line(f"level {level + 1}", np.sort(np.bincount(column, minlength=size))[::-1].tolist())
        for level, (column, size) in enumerate(zip(codes.T, ids.level_sizes))
    ]
    _, counts = np.unique(codes, axis=0, return_counts=True)
    sizes, groups = np.unique(counts, return_counts=True)
    sharing = Series("", sizes.tolist(), (sizes * groups).tolist(), kind="bar")
    drawn = [
        Plot("Items of each code, the most frequent first", uses, Axis("rank of the code"), Axis("items")),
        Plot("Items by how many have the same codes", [sharing], Axis("items with equal codes"), Axis("items")),
    ]
    if report["prefixes"]:
        names = {"text": "neighbours in text", "together": "neighbours in use", "any": "any two items"}
        lines = [
            _line(name, [100 * (prefix[key] or 0) for prefix in report["prefixes"]]) for key, name in names.items()
        ]
        title = "Pairs of items whose first codes are equal"
        drawn.append(Plot(title, lines, Axis("leading codes"), Axis("% of pairs")))
    return drawn


def _line(name: str, values: list[float]) -> Series:
    return Series(name, list(range(1, len(values) + 1)), values)


def _tables(report: dict[str, Any]) -> list[Table]:
    tables = [_levels(report), _collisions(report)]
    if report["reconstruction"]:
        error = report["reconstruction"]
        row = [_number(error["seen"]), _number(error["unseen"])]
        tables.append(("Reconstruction error (0: perfect, 1: codes say nothing)", ["seen", "unseen"], [row]))
    if report["neighbours"]:
        near = report["neighbours"]
        of_unseen = report["neighbours_of_unseen"] or {}
        row = [_share(near["text"]), _share(near["together"]), _share(near["chance"]), _share(report["use_in_text"])]
        row.append(_share(of_unseen.get("text")))
        head = ["in text", "in use", "by chance", "in use, found by text itself", "in text, of unseen items"]
        title = "Of an item's 10 neighbours among the seen items, the share among its 10 nearest in code space"
        tables.append((title, head, [row]))
    if report["prefixes"]:
        rows = [
            [str(length), _share(prefix["text"]), _share(prefix["together"]), _share(prefix["any"])]
            for length, prefix in enumerate(report["prefixes"], start=1)
        ]
        head = ["leading codes", "neighbours in text", "neighbours in use", "any two items"]
        tables.append(("Pairs of seen items whose first codes are equal", head, rows))
    return tables


def _levels(report: dict[str, Any]) -> Table:
    rows = [
        [
            str(number),
            str(level["size"]),
            str(level["used"]),
            f"{level['utilisation']:.1%} of {level['possible']}",
            f"{level['entropy']:.3f}",
            str(level["largest_group"]),
        ]
        for number, level in enumerate(report["levels"], start=1)
    ]
    rows.append(["identification", str(report["identification_size"]), str(report["largest_group"]), "", "", ""])
    head = ["level", "codes", "used", "of those it could use", "entropy", "most items with one"]
    return "Codes of the seen items, by level", head, rows


def _collisions(report: dict[str, Any]) -> Table:
    pairs = report["collisions"]
    rows = [
        ["items", f"{report['seen_items']:,}", f"{report['items']:,}"],
        ["distinct codes", f"{report['distinct_seen']:,}", f"{report['distinct']:,}"],
        ["most items with equal codes", str(report["largest_group_seen"]), str(report["largest_group"])],
        ["pairs with equal codes", f"{pairs['seen_seen']:,}", f"{sum(pairs.values()):,}"],
        ["of them seen and unseen", "", f"{pairs['seen_unseen']:,}"],
    ]
    return "Collisions", ["", "seen", "all"], rows


def _html_table(head: list[str], rows: list[list[str]]) -> str:
    def line(cells: list[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "\n".join(["<table>", line(head, "th"), *(line(row, "td") for row in rows), "</table>"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
h1 {{ font-size: 1.5rem; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; }}
th, td {{ padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #ddd; }}
figure {{ margin: 2rem 0; }} .collapse {{ color: #a00; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""
