"""Stop strings: found wherever they lie across tokens, and never shown."""

from collections.abc import Sequence


class StopStrings:
    """A filter that is fed what the model wrote, and gives back what surely belongs to the answer. ``matched`` is the stop string that
    ended it.

    A stop string may lie in text that is not shown, such as the spelling of control tokens, or across it.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._longest = max((len(stop) for stop in self._stops), default=1)
        self._held = ""  # could be the beginning of a stop string
        self._hidden: list[range] = []  # of ``_held``, what is not shown
        self.matched: str | None = None

    def push(self, text: str) -> str:
        """Returns the text that may be shown now. After a match, nothing more is."""
        if self.matched is not None:
            return ""
        self._held += text
        # The first to be complete wins, of these the longest: so the answer does not depend on how the text is cut into tokens.
        found = min(
            ((at, stop) for stop in self._stops if (at := self._held.find(stop)) >= 0),
            default=None,
            key=lambda item: (item[0] + len(item[1]), item[0]),
        )
        if found is not None:
            at, self.matched = found
            return self._take(at)
        return self._take(len(self._held) - self._undecided())

    def push_hidden(self, text: str) -> str:
        """Takes text that is not shown, and returns what may be shown now of the text before it."""
        if self.matched is None and self._stops:
            self._hidden.append(range(len(self._held), len(self._held) + len(text)))
            return self.push(text)
        return ""

    def flush(self) -> str:
        """Returns what was held back, which at the end was no stop string after all."""
        return self._take(len(self._held)) if self.matched is None else ""

    def _take(self, size: int) -> str:
        """Returns the shown part of the first ``size`` characters of what is held; they are held no longer."""
        shown, begin = "", 0
        for hidden in self._hidden:
            shown += self._held[begin : min(size, hidden.start)]
            begin = min(size, hidden.stop)
        shown += self._held[begin:size]
        self._held = self._held[size:]
        self._hidden = [range(max(0, one.start - size), one.stop - size) for one in self._hidden if one.stop > size]
        return shown

    def _undecided(self) -> int:
        """Returns the length of the longest end of what is held that begins a stop string."""
        for size in range(min(self._longest - 1, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-size:]) for stop in self._stops):
                return size
        return 0
