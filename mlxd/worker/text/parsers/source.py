"""The text of an answer as a parser reads it: what came, and what of it is read but not decided."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Found:
    """A marker in the unread text, ``at`` so many characters in."""

    at: int
    marker: str


@dataclass(frozen=True)
class Span:
    """A stretch of text, or the spelling of a control token."""

    text: str
    is_control: bool


class Source:
    """The text of one answer. ``text`` is unread. What is read is ``held`` until somebody releases it: as content, or because it was part
    of something else.
    """

    def __init__(self) -> None:
        self.text = ""
        self.held = ""
        self.is_ended = False  # nothing comes any more
        self.is_settled = False  # what comes next is not the rest of a marker
        self._controls: list[range] = []  # of ``text``, what is control tokens
        self._held_controls: list[range] = []  # of ``held``

    def feed(self, text: str) -> None:
        self.text += text

    def feed_control(self, spelling: str) -> None:
        """Adds a control token by its spelling."""
        self._controls.append(range(len(self.text), len(self.text) + len(spelling)))
        self.text += spelling

    def truncate(self, size: int) -> None:
        """Takes away the unread text behind the first ``size`` characters."""
        self.text = self.text[:size]
        self._controls = [one for one in self._controls if one.start < size]

    def is_control(self, at: int) -> bool:
        """Returns whether a control token begins at ``at`` of the unread text."""
        return any(one.start == at for one in self._controls)

    def next_control(self) -> int | None:
        """Returns where in the unread text the next control token begins."""
        return next((one.start for one in self._controls), None)

    def read(self, size: int) -> str:
        """Reads and holds so many characters."""
        taken, self.text = self.text[:size], self.text[size:]
        before = len(self.held)
        self.held += taken
        if not self._controls:
            return taken
        self._held_controls += [range(before + one.start, before + min(one.stop, size)) for one in self._controls if one.start < size]
        self._controls = [range(max(0, one.start - size), one.stop - size) for one in self._controls if one.stop > size]
        return taken

    def release(self) -> list[Span]:
        """Returns what is held, which is held no longer."""
        held, controls = self.held, self._held_controls
        self.held, self._held_controls = "", []
        if not controls:
            return [Span(held, is_control=False)] if held else []
        spans, at = [], 0
        for one in controls:
            spans += [Span(held[at : one.start], is_control=False), Span(held[one.start : one.stop], is_control=True)]
            at = one.stop
        return [span for span in [*spans, Span(held[at:], is_control=False)] if span.text]

    def find(self, markers: Iterable[str], start: int = 0) -> Found | None:
        """Returns the first of ``markers`` in the unread text from ``start`` on, of several in one place the longest."""
        found = [(at, -len(marker), marker) for marker in markers if (at := self.text.find(marker, start)) >= 0]
        if not found:
            return None
        at, _, marker = min(found)
        return Found(at, marker)

    def sure(self, markers: Iterable[str]) -> int:
        """Returns how many unread characters are before anything that may become one of ``markers``, of which none is there yet."""
        if self.is_ended or self.is_settled:
            return len(self.text)
        return len(self.text) - max((_overlap(self.text, marker) for marker in markers), default=0)

    def may_become(self, marker: str) -> bool:
        """Returns whether the unread text is the beginning of ``marker`` and more may come."""
        is_open = not self.is_ended and not (self.is_settled and self.text)
        return is_open and len(self.text) < len(marker) and marker.startswith(self.text)


def _overlap(text: str, marker: str) -> int:
    """Returns the length of the longest end of ``text`` that begins ``marker`` and is not all of it."""
    first = marker[:1]  # few texts have it, and to look for it is quick
    at = text.find(first, max(0, len(text) - len(marker) + 1))
    while at >= 0 and not marker.startswith(text[at:]):
        at = text.find(first, at + 1)
    return len(text) - at if at >= 0 else 0
