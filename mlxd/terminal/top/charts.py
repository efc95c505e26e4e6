"""Charts of characters: curves and bars that tell their parts apart without colour too."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

_LEVELS = " ▁▂▃▄▅▆▇█"
_STEPS = len(_LEVELS) - 1  # of one row
_SHORTEST_BAR = 8  # characters that still tell anything


def curve(values: Sequence[float | None], *, rows: int = 1, style: str = "") -> list[Text]:
    """Returns one column for each value, the highest as high as there are rows; the top row comes first.

    Zero is a line at the bottom, more is more than that line, and None is empty.
    """
    top = max((value for value in values if value is not None), default=0.0)
    heights = [_height(value, top, rows * _STEPS) for value in values]
    return [Text("".join(_glyph(height, row) for height in heights), style) for row in reversed(range(rows))]


def _glyph(height: int, row: int) -> str:
    """Returns the glyph for the part of a column that is in ``row``, counted from below."""
    return _LEVELS[min(_STEPS, max(0, height - row * _STEPS))]


def _height(value: float | None, top: float, steps: int) -> int:
    if value is None:
        return 0
    return 1 if value <= 0 else 2 + round((steps - 2) * value / top)


@dataclass(frozen=True)
class Part:
    """A part of a bar."""

    amount: float
    glyph: str
    style: str = ""


def bar(parts: Sequence[Part], width: int) -> Text:
    """Returns a bar of the parts of a whole; a part that is there at all has a character, where there are enough."""
    text = Text()
    for part, cells in zip(parts, shares([part.amount for part in parts], width), strict=True):
        text.append(part.glyph * cells, part.style)
    return text


def fitting_bar(parts: Sequence[Part], most: int, room: int, *figures: Text, gap: int = 1) -> list[Text]:
    """Returns a bar of at most ``most`` characters beside figures, which matter more; no bar where they leave too little for it."""
    width = min(most, room - sum(figure.cell_len + gap for figure in figures))
    return [bar(parts, width)] if width >= _SHORTEST_BAR and any(part.amount for part in parts) else []


def shares(amounts: Sequence[float], width: int) -> list[int]:
    """Returns whole numbers that add up to ``width``, in proportion to ``amounts`` (largest remainders); all are 0 where nothing is shared
    out.
    """
    total = sum(amounts)
    if total <= 0:
        return [0] * len(amounts)
    there = [index for index, amount in enumerate(amounts) if amount > 0]
    least = 1 if len(there) <= width else 0
    exact = [amount / total * width for amount in amounts]
    given = [max(least, int(exact[index])) if index in there else 0 for index in range(len(amounts))]
    while sum(given) < width:
        given[max(there, key=lambda index: exact[index] - given[index])] += 1
    while sum(given) > width:
        given[max((index for index in there if given[index] > least), key=lambda index: given[index] - exact[index])] -= 1
    return given
