"""What every block of a message has."""

from typing import ClassVar

from mlxd.api.anthropic.leniency import BLOCK
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict

BETWEEN = "\n\n"  # texts that a client keeps apart


class Block(Strict):
    """A block of a message."""

    tolerated: ClassVar[Rules] = BLOCK

    type: str

    @property
    def said(self) -> str:
        """Returns the text that the model reads of it as content."""
        return ""

    @property
    def thought(self) -> str:
        """Returns the text that is reasoning."""
        return ""
