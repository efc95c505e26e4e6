"""What an output parser is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mlxd.wire.parts import Part


@dataclass(frozen=True)
class Hidden:
    """What the model wrote and nobody is shown, such as a control token's spelling. Stop strings see it, in its place among content."""

    text: str


@dataclass(frozen=True)
class Marker(Hidden):
    """The marker of a section or a call: a stop string may hold it whole, but none begins or ends inside it."""


Parsed = Part | Hidden


@dataclass(frozen=True)
class Header(Marker):
    """Words of a message's header: a stop string may hold them with a marker beside them, but none is such a word alone."""


@dataclass(frozen=True)
class ReasoningMarker(Marker):
    """The marker before or behind reasoning."""


class OutputParser(Protocol):
    """A parser turns one answer into parts. However its text is cut into pieces, the parts say the same when joined. Whatever a model
    writes, a parser raises nothing, and what it cannot read is content.
    """

    begins: frozenset[str]  # markers in a prompt before which nothing counts

    @property
    def warnings(self) -> Sequence[str]:
        """Returns what a client should know of the answer so far, such as calls that could not be read."""

    def push(self, text: str) -> list[Parsed]:
        """Returns what ``text``, which may be empty, adds; what is undecided is held back."""

    def control(self, token: str) -> list[Parsed]:
        """Returns what the control token spelled ``token`` adds; ``Hidden`` where it says nothing to this parser."""

    def finish(self) -> list[Parsed]:
        """Returns what was held back, at the end of the answer."""
