"""A table before it has a format: what the terminal, Markdown, LaTeX, CSV and the page are written from."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Cell:
    """One entry.

    Attributes:
        text: as it is shown; "-" where there is nothing to show.
        place: 1 for the best of its column (or row), 2 for the second best, else None.
        note: what stands behind it, raised in LaTeX: a mark of significance.
        value: the number that the text shows, or the lower end of the range that it shows.
        upper: the upper end of the range; None where the text shows no range.
        short: the text where there is little room; "" for the text itself.
    """

    text: str
    place: int | None = None
    note: str = ""
    value: float | None = None
    upper: float | None = None
    short: str = ""

    @property
    def sort_key(self) -> float | None:
        """What a column is sorted by: the number, or the middle of the range."""
        return self.value if self.value is None or self.upper is None else (self.value + self.upper) / 2


@dataclass(frozen=True)
class Column:
    """A column's head. Neighbouring columns of the same `span` stand under it together.

    Attributes:
        leave_out: where there is too little room, columns go in this order, 1 first; 0 stays.
    """

    title: str
    span: str = ""
    align: str = "right"
    leave_out: int = 0

    @property
    def full_title(self) -> str:
        """With its span, for formats that have one line of heads."""
        return f"{self.span} {self.title}".strip()


@dataclass
class Grid:
    """A titled table; `groups` gives the rows' groups, which are set off from each other."""

    title: str
    columns: list[Column]
    rows: list[list[Cell]]
    groups: list[str] = field(default_factory=list)
    caption: str = ""

    def group_of(self, row: int) -> str:
        return self.groups[row] if self.groups else ""

    def starts_group(self, row: int) -> bool:
        return row > 0 and self.group_of(row) != self.group_of(row - 1)

    @property
    def spans(self) -> list[tuple[str, int]]:
        """The heads above the columns' titles, each with the number of its columns."""
        found: list[tuple[str, int]] = []
        for column in self.columns:
            if found and found[-1][0] == column.span:
                found[-1] = (column.span, found[-1][1] + 1)
            else:
                found.append((column.span, 1))
        return found


NOTHING = Cell("-")


def number(value: float | None, text: str, note: str = "") -> Cell:
    """A cell for a number, or the empty one."""
    return NOTHING if value is None else Cell(text.format(value), note=note, value=value)
