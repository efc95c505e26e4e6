"""What an output parser is."""

from dataclasses import dataclass
from typing import Protocol

from mlxd.wire.parts import Part


@dataclass(frozen=True)
class Hidden:
    """What the model wrote and nobody is shown, such as a control token's spelling. Stop strings see it, in its place among content."""

    text: str


Parsed = Part | Hidden


class OutputParser(Protocol):
    """A parser turns one answer into parts. However its text is cut into pieces, the parts say the same when joined."""

    begins: frozenset[str]  # control tokens after which nothing before them counts

    def push(self, text: str) -> list[Parsed]:
        """Returns what ``text``, which may be empty, adds; what is undecided is held back."""

    def control(self, token: str) -> list[Parsed]:
        """Returns what the control token spelled ``token`` adds. Text that only looks like it comes by ``push``."""

    def finish(self) -> list[Parsed]:
        """Returns what was held back, at the end of the answer."""
