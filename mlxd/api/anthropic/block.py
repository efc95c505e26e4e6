"""What every block of a message has."""

from collections.abc import Mapping
from typing import ClassVar

from mlxd.api.anthropic.leniency import BLOCK
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict
from mlxd.api.media.content import Content

Definitions = Mapping[str, str]  # what a model is told of a tool where it comes into the conversation, by the tool's name

NOTHING: Definitions = {}
BETWEEN = "\n\n"  # texts that a client keeps apart


class Block(Strict):
    """A block of a message."""

    tolerated: ClassVar[Rules] = BLOCK

    type: str

    def said(self, tools: Definitions) -> str:  # noqa: ARG002 - for those that name one
        """Returns the text that the model reads of it as content; ``tools`` are those that a conversation has to tell of."""
        return ""

    def shown(self, tools: Definitions, place: str) -> Content:  # noqa: ARG002 - for those that show more than text
        """Returns all that the model reads and sees of it; ``place`` is where it is in the request."""
        return Content(self.said(tools))

    @property
    def thought(self) -> str:
        """Returns the text that is reasoning."""
        return ""
