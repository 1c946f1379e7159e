"""Where labels go so that none covers another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

LETTER = 0.58  # mean width of a letter, in font sizes


@dataclass(frozen=True)
class Box:
    """A rectangle: its left, top, width and height."""

    left: float
    top: float
    width: float
    height: float

    def meets(self, other: "Box") -> bool:
        apart = self.left + self.width <= other.left or other.left + other.width <= self.left
        return not (apart or self.top + self.height <= other.top or other.top + other.height <= self.top)


def width_of(text: str, size: float) -> float:
    return LETTER * size * len(text)


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, `gap` apart, in the same order and between `low` and `high` where there is room."""
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    placed = [0.0] * len(wanted)
    last = low - gap
    for at in order:
        last = placed[at] = max(wanted[at], last + gap)
    limit = high + gap
    for at in reversed(order):
        limit = placed[at] = min(placed[at], limit - gap)
    return placed


def beside_points(
    points: Sequence[tuple[float, float]], texts: Sequence[str], size: float, frame: Box
) -> list[tuple[float, float]]:
    """For each point the left end and the middle line of its label: right of it, or where the first free room is.

    Args:
        points: x and y, of all of them.
        size: of the font.
        frame: what labels should stay inside of.
    """
    taken = [Box(x - 4, y - 4, 8, 8) for x, y in points]
    places: list[tuple[float, float]] = [(0.0, 0.0)] * len(points)
    for at in sorted(range(len(points)), key=lambda at: (points[at][1], points[at][0])):
        wide = width_of(texts[at], size)
        tried = [Box(x, y - size / 2, wide, size) for x, y in _around(*points[at], wide, size)]
        inside = [box for box in tried if _inside(box, frame)] or tried
        free = [box for box in inside if not any(box.meets(other) for other in taken)]
        chosen = (free or inside)[0]
        taken.append(chosen)
        places[at] = (chosen.left, chosen.top + size / 2)
    return places


def _around(x: float, y: float, width: float, size: float) -> Iterator[tuple[float, float]]:
    """Left end and middle line of a label: near the point first, then further away."""
    for far in range(24):
        for dy in (far, -far) if far else (0,):
            yield x + 8 + 1.2 * far, y + dy * size / 2
            if far < 4:
                yield x - 8 - width, y + dy * size / 2


def _inside(box: Box, frame: Box) -> bool:
    return (
        frame.left <= box.left
        and box.left + box.width <= frame.left + frame.width
        and frame.top <= box.top
        and box.top + box.height <= frame.top + frame.height
    )
