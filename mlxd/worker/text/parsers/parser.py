"""What an output parser is."""

from typing import Protocol

from mlxd.wire.parts import Part


class OutputParser(Protocol):
    """Turns one answer's text into parts. However the text is cut into pieces, the parts say the same when joined."""

    def push(self, text: str) -> list[Part]:
        """Returns what ``text``, which may be empty, adds; what is undecided is held back."""

    def finish(self) -> list[Part]:
        """Returns what was held back, at the end of the answer."""
