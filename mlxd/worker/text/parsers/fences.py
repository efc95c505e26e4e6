"""Code in Markdown, in which a marker is an example."""

_FENCES = ("```", "~~~")


class Fences:
    """Where in an answer its code is: what lies between two fences, and what stands right behind a back quote."""

    def __init__(self) -> None:
        self._fence = ""  # the one that is open
        self._line = ""  # the beginning of the current line: as much as tells whether it is a fence
        self._last = ""

    @property
    def is_code(self) -> bool:
        """Returns whether what comes next is code."""
        return bool(self._fence) or self._last == "`"

    def push(self, text: str) -> None:
        """Takes content that goes on where the last ended."""
        first, *rest = text.split("\n")
        self._extend(first)
        for line in rest:
            self._line = ""
            self._extend(line)
        self._last = text[-1:] or self._last

    def _extend(self, text: str) -> None:
        before = len(self._line)
        self._line = (self._line + text).lstrip(" \t")[: len(_FENCES[0])]
        if before < len(_FENCES[0]) and self._line in _FENCES and self._fence in {"", self._line}:
            self._fence = "" if self._fence else self._line
