"""A table that leaves out columns rather than cut numbers, or wrap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.text import Text

_GAP = 2  # characters between columns
_SHORTEST_NAME = 5
_LEAST_NAME = 20  # characters of the names that are worth more than another column


@dataclass(frozen=True)
class Column:
    """A column, whose cells are never cut."""

    title: str
    cells: Sequence[Text]
    rank: int = 0  # where room lacks, the highest goes first; 0 stays
    justify: Literal["left", "right"] = "right"

    @property
    def width(self) -> int:
        """Returns the width of the widest cell."""
        return max(Text(self.title).cell_len, *(cell.cell_len for cell in self.cells), 0)

    @property
    def texts(self) -> Iterator[Text]:
        """Yields the title and the cells below it."""
        yield Text(self.title, style="bold")
        yield from self.cells


def lines(names: Column, others: Sequence[Column], width: int) -> list[Text]:
    """Returns the head and a line for each row. Names are what is cut where even the columns that stay leave them no room."""
    shown = list(others)
    while _room(shown, width) < min(names.width, _LEAST_NAME) and (least := max(shown, key=lambda column: column.rank)).rank:
        shown.remove(least)
    name_width = max(_SHORTEST_NAME, len(names.title), min(names.width, _room(shown, width)))
    columns = [_cells(names, name_width), *(_cells(column, column.width) for column in shown)]
    gap = Text(" " * _GAP, no_wrap=True, overflow="crop", end="\n")
    return [gap.join(row) for row in zip(*columns, strict=True)]


def _room(others: Sequence[Column], width: int) -> int:
    """Returns the characters that other columns leave to the names."""
    return width - sum(_GAP + other.width for other in others)


def _cells(column: Column, width: int) -> list[Text]:
    cells = [text.copy() for text in column.texts]
    for cell in cells:
        cell.truncate(width, overflow="ellipsis")
        cell.align(column.justify, width)
    return cells
