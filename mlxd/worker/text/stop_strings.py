"""Stop strings: found wherever they lie across tokens, and never shown."""

from collections.abc import Iterator, Sequence
from enum import Enum


class Include(Enum):
    """What of a stop string an answer has."""

    BEFORE = "it ends before the stop string"
    BEHIND = "it ends behind it"


class StopStrings:
    """A filter that is fed what the model wrote, and gives back what surely belongs to the answer. ``matched`` is the stop string that
    ended it.

    A stop string may lie in text that is not shown, such as the spelling of control tokens, or across it; of a section's marker it holds
    all or nothing. ``include`` says whether it is part of the answer.
    """

    def __init__(self, stops: Sequence[str], include: Include = Include.BEFORE) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._include = include
        self._longest = max((len(stop) for stop in self._stops), default=1)
        self._held = ""  # could be the beginning of a stop string
        self._hidden: list[range] = []  # of ``_held``, what is not shown
        self._whole: list[range] = []  # of ``_held``, in what no stop string begins or ends
        self._mute: list[range] = []  # of ``_held``, what is no stop string by itself
        self.matched: str | None = None
        self.is_armed = True  # while it is not, no stop string begins

    def push(self, text: str) -> str:
        """Returns the text that may be shown now. After a match, nothing more is."""
        if self.matched is not None:
            return ""
        if not self.is_armed:
            return text
        self._held += text
        # The first to be complete wins, of these the longest: so the answer does not depend on how the text is cut into tokens.
        found = min(self._found(), default=None, key=lambda one: (one.stop, one.start))
        if found is not None:
            self.matched = self._held[found.start : found.stop]
            return self._take(found.stop if self._include is Include.BEHIND else found.start)
        return self._take(len(self._held) - self._undecided())

    def push_hidden(self, text: str) -> str:
        """Takes text that is not shown, and returns what may be shown now of the text before it."""
        if self.matched is None and self._stops and self.is_armed:
            self._hidden.append(range(len(self._held), len(self._held) + len(text)))
            return self.push(text)
        return ""

    def push_marker(self, text: str) -> str:
        """Takes a section's marker, which is not shown, and returns what may be shown now of the text before it."""
        if self.matched is None and self._stops and self.is_armed:
            self._whole.append(range(len(self._held), len(self._held) + len(text)))
        return self.push_hidden(text)

    def push_header(self, text: str) -> str:
        """Takes words of a header, as a marker that is no stop string by itself."""
        if self.matched is None and self._stops:
            self._mute.append(range(len(self._held), len(self._held) + len(text)))
        return self.push_marker(text)

    def flush(self) -> str:
        """Returns what was held back, which at the end was no stop string after all."""
        return self._take(len(self._held)) if self.matched is None else ""

    def _found(self) -> Iterator[range]:
        for stop in self._stops:
            at = self._held.find(stop)
            while at >= 0:
                found = range(at, at + len(stop))
                if found not in self._mute and not any(_cuts(found, whole) for whole in self._whole):
                    yield found
                    break
                at = self._held.find(stop, at + 1)

    def _take(self, size: int) -> str:
        """Returns the shown part of the first ``size`` characters of what is held; they are held no longer."""
        shown, begin = "", 0
        for hidden in self._hidden:
            shown += self._held[begin : min(size, hidden.start)]
            begin = min(size, hidden.stop)
        shown += self._held[begin:size]
        self._held = self._held[size:]
        self._hidden = [range(max(0, one.start), one.stop) for one in _behind(self._hidden, size)]
        self._whole, self._mute = _behind(self._whole, size), _behind(self._mute, size)
        return shown

    def _undecided(self) -> int:
        """Returns the length of the longest end of what is held that begins a stop string."""
        for size in range(min(self._longest - 1, len(self._held)), 0, -1):
            begin = len(self._held) - size
            is_inside = any(whole.start < begin < whole.stop for whole in self._whole)
            if not is_inside and any(stop.startswith(self._held[begin:]) for stop in self._stops):
                return size
        return 0


def _cuts(found: range, whole: range) -> bool:
    """Returns whether ``found`` begins or ends inside ``whole``."""
    return whole.start < found.start < whole.stop or whole.start < found.stop < whole.stop


def _behind(ranges: Sequence[range], size: int) -> list[range]:
    return [range(one.start - size, one.stop - size) for one in ranges if one.stop > size]
