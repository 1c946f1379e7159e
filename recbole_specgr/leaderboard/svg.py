"""A plotly figure as a small static SVG, for places that run no script: README pages and slides.

It draws what `study_view` makes: lines with markers and bars, over numbers, logarithms or categories, with deviations,
and a second axis on the right.
"""

import math
from html import escape
from typing import Any

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, LEGEND_LINE = 70, 70, 44, 18
COLOURS = ("#2f6fb2", "#d2691e", "#2e8b57", "#b03060", "#7b5ea7", "#8a6d3b", "#0e8c8c", "#777777", "#c49a00", "#4b4b8f")


def to_svg(figure: dict[str, Any]) -> str:
    traces, layout = figure["data"], figure["layout"]
    legend = [trace for trace in traces if trace["name"]] if len(traces) > 1 else []
    bottom = 66 + LEGEND_LINE * math.ceil(len(legend) / 2)
    if _categories(traces, layout):
        bottom += 40 if max((len(str(value)) for trace in traces for value in trace["x"]), default=0) > 8 else 0
    height = HEIGHT + bottom - 66
    frame = _Frame(LEFT, TOP, WIDTH - LEFT - RIGHT, height - TOP - bottom)
    scale_x = _scale(traces, layout.get("xaxis", {}), "x", frame.width, _categories(traces, layout))
    parts = [_text(LEFT, 22, layout["title"]["text"], size=15, anchor="start")]
    for side, axis in (("y", "yaxis"), ("y2", "yaxis2")):
        mine = [trace for trace in traces if trace.get("yaxis", "y") == side]
        if mine:
            parts += _draw_side(mine, traces, layout.get(axis, {}), side, frame, scale_x)
    parts += _x_axis(scale_x, layout.get("xaxis", {}), frame)
    parts += _legend(legend, traces, height - LEGEND_LINE * math.ceil(len(legend) / 2) - 4)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(layout["title"]["text"])}">\n'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


class _Frame:
    """The rectangle that is drawn in."""

    def __init__(self, left: float, top: float, width: float, height: float):
        self.left, self.top, self.width, self.height = left, top, width, height

    def x(self, share: float) -> float:
        return self.left + share * self.width

    def y(self, share: float) -> float:
        return self.top + (1 - share) * self.height


class _Scale:
    """Values -> 0 to 1 along an axis, and its ticks."""

    def __init__(self, values: list[Any], log: bool, categories: list[str] | None, from_zero: bool):
        self.log, self.categories = log, categories
        if categories is None:
            numbers = [math.log10(value) for value in values if value > 0] if log else list(values)
            low, high = (min(numbers), max(numbers)) if numbers else (0.0, 1.0)
            low = min(0.0, low) if from_zero and not log else low
            margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
            self.low, self.high = (low if from_zero and low == 0 else low - margin), high + margin

    def __call__(self, value: Any) -> float | None:
        """None for what a logarithm does not have."""
        if self.categories is not None:
            return (self.categories.index(_named(value)) + 0.5) / len(self.categories)
        if self.log and value <= 0:
            return None
        return ((math.log10(value) if self.log else value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        if self.categories is not None:
            return [(self(name), name) for name in self.categories]
        if self.log:
            powers = range(math.ceil(self.low), math.floor(self.high) + 1)
            steps = [
                factor * 10.0**power
                for power in range(math.floor(self.low), math.ceil(self.high) + 1)
                for factor in (1, 2, 5)
            ]
            values = (
                [10.0**power for power in powers]
                if len(powers) > 2
                else [v for v in steps if self.low <= math.log10(v) <= self.high]
            )
        else:
            step = _step((self.high - self.low) / 5)
            values = [step * number for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [(self(value), f"{round(value, 10):g}") for value in values]


def _step(rough: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten that is not smaller."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)


def _categories(traces: list[dict[str, Any]], layout: dict[str, Any]) -> list[str] | None:
    if layout.get("xaxis", {}).get("type") == "category" or any(
        isinstance(value, str) for t in traces for value in t["x"]
    ):
        return list(dict.fromkeys(_named(value) for trace in traces for value in trace["x"]))
    if all(trace["type"] == "bar" for trace in traces):
        return [_named(value) for value in sorted({value for trace in traces for value in trace["x"]})]
    return None


def _scale(traces, axis, key, width, categories) -> _Scale:
    return _Scale([value for trace in traces for value in trace[key]], axis.get("type") == "log", categories, False)


def _draw_side(mine, traces, axis, side, frame: _Frame, scale_x: _Scale) -> list[str]:
    """The y axis of these traces with its grid, and the traces."""
    ends = [
        value + sign * error for trace in mine for value, error in zip(trace["y"], _errors(trace)) for sign in (-1, 1)
    ]
    log = axis.get("type") == "log"
    scale = _Scale(ends, log, None, from_zero=any(trace["type"] == "bar" for trace in mine))
    parts, right = [], side == "y2"
    for share, label in scale.ticks():
        y = frame.y(share)
        if not right:
            parts.append(f'<line x1="{frame.left}" x2="{_n(frame.x(1))}" y1="{_n(y)}" y2="{_n(y)}" stroke="#e3e3e3"/>')
        parts.append(
            _text(frame.x(1) + 8 if right else frame.left - 8, y + 4, label, anchor="start" if right else "end")
        )
    middle, x = frame.y(0.5), WIDTH - 14 if right else 16
    parts.append(_text(x, middle, axis.get("title", {}).get("text", ""), turn=-90))
    bars = [trace for trace in mine if trace["type"] == "bar"]
    for trace in mine:
        colour = _colour(trace, traces)
        if trace["type"] == "bar":
            parts += _bars(trace, colour, frame, scale_x, scale, bars)
        else:
            parts += _line(trace, colour, frame, scale_x, scale, _is_dashed(trace, traces))
    return parts


def _bars(trace, colour, frame, scale_x, scale, bars) -> list[str]:
    slots = len(scale_x.categories) if scale_x.categories else max(len(trace["x"]), 6) * 1.5
    width = 0.7 / slots / len(bars) * frame.width
    parts = []
    for x, y, error in zip(trace["x"], trace["y"], _errors(trace)):
        left = frame.x(scale_x(x)) + (bars.index(trace) - len(bars) / 2) * width
        top, base = frame.y(scale(y)), frame.y(scale(0))
        parts.append(
            f'<rect x="{_n(left)}" y="{_n(min(top, base))}" width="{_n(width * 0.94)}" height="{_n(abs(base - top))}" '
            f'fill="{colour}" opacity="{trace.get("opacity", 0.9)}"><title>{_hover(trace, x, y)}</title></rect>'
        )
        parts += _whisker(left + width * 0.47, y, error, frame, scale)
    return parts


def _line(trace, colour, frame, scale_x, scale, dashed) -> list[str]:
    places = [(scale_x(x), scale(y), x, y, error) for x, y, error in zip(trace["x"], trace["y"], _errors(trace))]
    places = [place for place in places if place[0] is not None and place[1] is not None]
    path = " ".join(f"{_n(frame.x(at))},{_n(frame.y(up))}" for at, up, *_ in places)
    dashes = ' stroke-dasharray="6 4"' if dashed else ""
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>']
    for at, up, x, y, error in places:
        parts += _whisker(frame.x(at), y, error, frame, scale)
        parts.append(
            f'<circle cx="{_n(frame.x(at))}" cy="{_n(frame.y(up))}" r="4" fill="{colour}">'
            f"<title>{_hover(trace, x, y)}</title></circle>"
        )
    return parts


def _whisker(x: float, y: float, error: float, frame: _Frame, scale: _Scale) -> list[str]:
    low, high = (scale(y - error), scale(y + error)) if error else (None, None)
    if low is None or high is None:
        return []
    return [f'<line x1="{_n(x)}" x2="{_n(x)}" y1="{_n(frame.y(low))}" y2="{_n(frame.y(high))}" stroke="#444444"/>']


def _x_axis(scale: _Scale, axis: dict[str, Any], frame: _Frame) -> list[str]:
    bottom = frame.y(0)
    parts = [f'<line x1="{frame.left}" x2="{_n(frame.x(1))}" y1="{_n(bottom)}" y2="{_n(bottom)}" stroke="#444444"/>']
    ticks = scale.ticks()
    slanted = scale.categories is not None and max((len(label) for _, label in ticks), default=0) > 8
    for share, label in ticks:
        x, y = frame.x(share), bottom + 18
        if slanted:
            short = label if len(label) <= 24 else f"{label[:23]}…"
            parts.append(_text(x, y - 4, short, "end", turn=-20))
        else:
            parts.append(_text(x, y, label))
    title = axis.get("title", {}).get("text", "")
    return [*parts, _text(frame.x(0.5), bottom + (74 if slanted else 38), title)] if title else parts


def _legend(shown, traces, top: float) -> list[str]:
    parts = []
    for number, trace in enumerate(shown):
        x, y = LEFT + number % 2 * (WIDTH - LEFT) / 2, top + number // 2 * LEGEND_LINE
        colour, pale = _colour(trace, traces), 0.3 if _is_dashed(trace, traces) else 1
        parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="12" height="12" fill="{colour}" fill-opacity="{pale}" '
            f'stroke="{colour}"/>'
        )
        parts.append(_text(x + 18, y + 10, trace["name"], anchor="start"))
    return parts


def _colour(trace, traces) -> str:
    return COLOURS[traces.index(trace) % len(COLOURS)]


def _is_dashed(trace, traces) -> bool:
    """Whether it is a line whose colour an earlier trace has."""
    return trace["type"] != "bar" and traces.index(trace) >= len(COLOURS)


def _named(value: Any) -> str:
    """A category's name."""
    return value if isinstance(value, str) else f"{value:g}"


def _errors(trace: dict[str, Any]) -> list[float]:
    return trace.get("error_y", {}).get("array") or [0.0] * len(trace["y"])


def _hover(trace: dict[str, Any], x: Any, y: float) -> str:
    return escape(f"{trace['name']}: {x}, {y:g}" if trace["name"] else f"{x}, {y:g}")


def _text(x: float, y: float, text: str, anchor: str = "middle", size: int = 12, turn: int = 0) -> str:
    turned = f' transform="rotate({turn} {_n(x)} {_n(y)})"' if turn else ""
    place = f'x="{_n(x)}" y="{_n(y)}" font-size="{size}" text-anchor="{anchor}"{turned}'
    return f'<text {place} font-family="system-ui, sans-serif" fill="#444444">{escape(text)}</text>'


def _n(value: float) -> str:
    return f"{value:.1f}"
