"""The tools that an answer may call, with what their arguments must be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlxd.errors import InvalidRequestError
from mlxd.wire.output_spec import Tool
from mlxd.worker.text.constraints.contents import Contents
from mlxd.worker.text.constraints.grammar import Rule, json_rule
from mlxd.worker.text.constraints.json_schema import ANY_OBJECT, ReadSchema
from mlxd.worker.text.constraints.pointers import Place

_ANY = ReadSchema(ANY_OBJECT)


@dataclass(frozen=True)
class Offered:
    """A tool, and the schema of its arguments, which is an object's. ``number`` is its own in its grammar."""

    tool: Tool
    number: int
    schema: ReadSchema
    place: Place

    @property
    def name(self) -> str:
        """Returns the tool's name."""
        return self.tool.name

    @property
    def arguments(self) -> Rule:
        """Returns the rule of its arguments as a JSON object."""
        return json_rule(self.schema.standing_alone())


def offered(tools: Sequence[Tool], contents: Contents) -> list[Offered]:
    """Returns the tools. What cannot be enforced of one that is strict raises ``InvalidRequestError``; of any other it is left out."""
    return [Offered(tool, number, _schema(tool, contents), Place("tools", (tool.name,))) for number, tool in enumerate(tools)]


def _schema(tool: Tool, contents: Contents) -> ReadSchema:
    if not tool.parameters:
        return _ANY
    document: Any = tool.parameters
    if "type" not in document:
        document = {"type": "object", **document}
    place = Place("tools", (tool.name, "parameters"))
    if document["type"] != "object":
        if tool.strict:
            raise (place / "type").refusal("arguments are an object")
        return _ANY
    try:
        return contents.schema(document, place, is_lenient=not tool.strict)
    except InvalidRequestError:
        if tool.strict:
            raise
        return _ANY
