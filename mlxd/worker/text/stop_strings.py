"""Stop strings: found wherever they lie across tokens, and never shown."""

from collections.abc import Sequence


class StopStrings:
    """Feed it text; it gives back what surely belongs to the answer. ``matched`` is the stop string that ended it."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""  # could be the beginning of a stop string
        self.matched: str | None = None

    def push(self, text: str) -> str:
        """Text that may be shown now. After a match, nothing more is."""
        if self.matched is not None:
            return ""
        text = self._held + text
        # The first to be complete wins, of these the longest: so the answer does not depend on how the text is cut into tokens.
        found = min(
            ((at, stop) for stop in self._stops if (at := text.find(stop)) >= 0),
            default=None,
            key=lambda item: (item[0] + len(item[1]), item[0]),
        )
        if found is not None:
            at, self.matched = found
            self._held = ""
            return text[:at]
        keep = self._undecided(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """At the end, what was held back was no stop string after all."""
        text, self._held = self._held, ""
        return text

    def _undecided(self, text: str) -> int:
        """Length of the longest end of ``text`` that begins a stop string."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for size in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stops):
                return size
        return 0
