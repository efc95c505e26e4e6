"""Lines that keep within a width, and cut no number to do so."""

from collections.abc import Sequence

from rich.text import Text

GAP = "   "


def line(width: int, *parts: Text | str, gap: str = GAP) -> Text:
    """Returns as many of ``parts`` as fit, from the first on; a first one that does not fit itself is words, and ends in an ellipsis."""
    made = Text(no_wrap=True, overflow="crop")
    for index, part in enumerate(parts):
        text = Text(part) if isinstance(part, str) else part
        if index and made.cell_len + len(gap) + text.cell_len > width:
            break
        made.append_text(Text(gap if index else "")).append_text(text)
    made.truncate(width, overflow="ellipsis")
    return made


def spread(width: int, left: Text, right: Text) -> Text:
    """Returns one text at each end, where there is room for both."""
    gap = width - left.cell_len - right.cell_len
    return line(width, left, right, gap=" " * gap) if gap >= len(GAP) else line(width, left)


def rule(width: int, title: Text) -> Text:
    """Returns a title, and a line to the right edge."""
    shown = line(max(0, width - 2), title)
    return shown.append(" " + "─" * (width - shown.cell_len - 1), "dim")


def window(count: int, room: int, at: int) -> range:
    """Returns which of ``count`` rows to show where there is room for ``room``, with row ``at`` among them."""
    first = min(max(0, at - room // 2), max(0, count - room))
    return range(first, min(count, first + room))


def titled(title: str, shown: Sequence[object], count: int) -> str:
    """Returns a title that says where not all is shown."""
    return title if len(shown) == count else f"{title} {len(shown)}/{count}"
