"""Elements of an SVG as text.

They are written here and not by matplotlib, whose file of the same plot has 30 kB to our 5, follows neither the page's
colours nor the pointer, and changes with its release, while these bytes are a function of the records alone.

What the page draws in its own colours has a class: `ground`, `grid`, `axis`; text has the colour of the text around it.
"""

from collections.abc import Iterable
from html import escape

from recbole_specgr.leaderboard.plots.labels import LETTER

COLOURS = ("#2f6fb2", "#d2691e", "#2e8b57", "#b03060", "#7b5ea7", "#8a6d3b", "#0e8c8c", "#c2478f")
DASHES = ("", "7 3", "2 3", "8 3 2 3", "12 4", "4 2", "1 4", "10 2 2 2")
GREY = "#9aa3ad"
DENSE = 40  # a line of more points has them at whole places
SIZE = 12  # of the font
LETTER_WIDTH = LETTER * SIZE


def document(title: str, width: int, height: int, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="{SIZE}" fill="currentColor">\n'
        f'<rect class="ground" width="{width}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def heading(x: float, y: float, content: str) -> str:
    return f'<g class="title" font-weight="600">{text(x, y, content)}</g>'


def text(x: float, y: float, content: str, anchor: str = "start", turn: int = 0) -> str:
    """Text whose middle line is at y."""
    turned = f' transform="rotate({turn} {number(x)} {number(y)})"' if turn else ""
    anchored = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{number(x)}" y="{number(y)}" dy=".35em"{anchored}{turned}>{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, style: str = "") -> str:
    """`style`: further attributes."""
    ends = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
    return f'<line {ends} stroke="{stroke}"{style}/>'


def grid_line(x1: float, y1: float, x2: float, y2: float) -> str:
    return line(x1, y1, x2, y2, "#e3e6ea", ' class="grid"')


def axis_line(x1: float, y1: float, x2: float, y2: float) -> str:
    return line(x1, y1, x2, y2, "#6b7480", ' class="axis"')


def segments(ends: Iterable[tuple[float, float, float, float]], colour: str) -> str:
    """Many thin lines of one colour: x and y of the start and of the end of each."""
    path = "".join(f"M{number(x1)} {number(y1)}L{number(x2)} {number(y2)}" for x1, y1, x2, y2 in ends)
    return f'<path d="{path}" stroke="{colour}"/>'


def polyline(points: Iterable[tuple[float, float]], colour: str, dash: str = "", width: float = 2) -> str:
    points = list(points)
    written = number if len(points) <= DENSE else whole
    path = " ".join(f"{written(x)},{written(y)}" for x, y in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'


def dot(x: float, y: float, colour: str, hover: str = "", radius: float = 3.5) -> str:
    place = f'cx="{number(x)}" cy="{number(y)}" r="{radius:g}" fill="{colour}"'
    return f"<circle {place}><title>{escape(hover)}</title></circle>" if hover else f"<circle {place}/>"


def bar(left: float, top: float, width: float, height: float, colour: str, hover: str, opacity: float = 1) -> str:
    place = f'x="{number(left)}" y="{number(top)}" width="{number(width)}" height="{number(height)}"'
    pale = f' opacity="{opacity:g}"' if opacity < 1 else ""
    return f'<rect {place} fill="{colour}"{pale}><title>{escape(hover)}</title></rect>'


def named_group(name: str, parts: Iterable[str], kind: str = "") -> str:
    """Elements that one hovers over together."""
    classed = f' class="{kind}"' if kind else ""
    return f"<g{classed}><title>{escape(name)}</title>{''.join(parts)}</g>"


def whole(value: float) -> str:
    return f"{value:.0f}"


def number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
