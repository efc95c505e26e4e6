"""Forms that write each argument between tags of its own, without quotes."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from mlxd.worker.text.constraints.calls.call_form import CallForm, any_of, repeated
from mlxd.worker.text.constraints.calls.offered import Offered
from mlxd.worker.text.constraints.calls.values import InexpressibleError, RawValue
from mlxd.worker.text.constraints.grammar import Rule, composed
from mlxd.worker.text.constraints.json_schema import ANYTHING, ReadSchema
from mlxd.worker.text.constraints.vocabulary import Vocabulary
from mlxd.worker.text.parsers.schema_kinds import ANY, CONTAINERS, STRING, Kinds, kinds_taken

_NAME, _KEY = "{name}", "{key}"
_ANY_KEY = "/[A-Za-z_][A-Za-z0-9_]{0,63}/"
_MOST_KEYS = 32
_COMBINING = {"anyOf", "allOf", "oneOf", "patternProperties", "minProperties", "maxProperties", "const", "enum"}


@dataclass(frozen=True)
class _Parameter:
    """A parameter, and the name of its value's rules."""

    key: str
    schema: Any
    name: str


@dataclass(frozen=True)
class TaggedForm(CallForm):
    """A form in which a call is its name, its parameters in the schema's order, and its end. ``frame`` is the white space that stands
    before what closes a value, too. ``unknown`` and ``untyped`` are what its parser takes a value for, as ``TaggedParser`` has them.
    """

    opening: str
    call_opens: str
    call_closes: str
    key_opens: str  # up to the value
    value_closes: str
    between: str
    key_ends: str = ""  # behind what closes a value
    frame: str = ""
    last: str = ""
    forbidden: tuple[str, ...] = ()
    unknown: Kinds = STRING
    untyped: Kinds = STRING | CONTAINERS

    @override
    def rest(self, tools: Sequence[Offered], vocabulary: Vocabulary, *, most: int) -> Rule:
        calls = repeated(any_of(tools, lambda tool: self._call(tool, vocabulary)), vocabulary.written(self.between), most)
        return composed(f"{calls.expression} {vocabulary.written(self.last)}", calls)

    def _call(self, tool: Offered, vocabulary: Vocabulary) -> Rule:
        try:
            parameters = [*self._parameters(tool, vocabulary)]
        except InexpressibleError as error:
            if tool.tool.strict:
                why = f"its arguments cannot be enforced in the form in which this model writes calls: {error}"
                raise (tool.place / "parameters").refusal(why) from error
            parameters = [self._any_parameters(vocabulary, f"open_{tool.number}")]
        opens = vocabulary.written(self.call_opens.replace(_NAME, tool.name))
        written = " ".join(one.expression for one in parameters)
        return composed(f"{opens} {written} {vocabulary.written(self.call_closes)}", *parameters)

    def _parameters(self, tool: Offered, vocabulary: Vocabulary) -> Iterator[Rule]:
        schema = object_of(tool.schema)
        properties, required, others = schema.get("properties", {}), schema.get("required", []), schema.get("additionalProperties", True)
        for number, name in enumerate([*properties, *(name for name in required if name not in properties)]):
            one = properties.get(name, others)
            if one is False and name not in required:
                continue
            one_parameter = self._parameter(tool, vocabulary, _Parameter(name, one, f"value_{tool.number}_{number}"))
            yield one_parameter if name in required else composed(f"({one_parameter.expression})?", one_parameter)
        if not properties and others is not False:
            yield self._any_parameters(vocabulary, f"open_{tool.number}", tool, others)

    def _parameter(self, tool: Offered, vocabulary: Vocabulary, parameter: _Parameter) -> Rule:
        if re.search(r"[<>\"'\n=]|^\s|\s$|^$", parameter.key):
            raise InexpressibleError(f"the name {parameter.key[:40]!r} cannot be written")
        taken_for = self._taken_for(tool, parameter.key)
        value = self._value(vocabulary).rule(parameter.schema, tool.schema, taken_for, parameter.name)
        opens = vocabulary.written(self.key_opens.replace(_KEY, parameter.key))
        return composed(f"{opens} ({value.expression}) {vocabulary.written(self.key_ends)}", value)

    def _any_parameters(self, vocabulary: Vocabulary, name: str, tool: Offered | None = None, schema: Any = None) -> Rule:
        """Returns the rule of parameters that have any names."""
        if tool is None or schema in (None, True, {"$ref": ANYTHING}):
            value = self._value(vocabulary).rule({"type": "string"}, ReadSchema({}), ANY, name)
        else:
            value = self._value(vocabulary).rule(schema, tool.schema, self._taken_for(tool, "\0"), name)
        before, _, behind = self.key_opens.partition(_KEY)
        key = f"{vocabulary.written(before)} {_ANY_KEY} {vocabulary.written(behind)}"
        return composed(f"({key} ({value.expression}) {vocabulary.written(self.key_ends)}){{0,{_MOST_KEYS}}}", value)

    def _taken_for(self, tool: Offered, key: str) -> Kinds:
        return kinds_taken(tool.tool, key, unknown=self.unknown, untyped=self.untyped)

    def _value(self, vocabulary: Vocabulary) -> RawValue:
        return RawValue(vocabulary, self.value_closes, self.frame, forbidden=self.forbidden)


def object_of(read: ReadSchema) -> Mapping[str, Any]:
    """Returns the schema of arguments as one object's. Raises ``InexpressibleError`` where it is none."""
    schema: Any = read.standing_alone()
    for _ in range(8):
        if not isinstance(schema, dict) or schema.keys() & _COMBINING:
            raise InexpressibleError("they are put together from several schemas, or counted")
        if "$ref" not in schema:
            return schema
        if schema.keys() & {"properties", "required", "additionalProperties"}:
            raise InexpressibleError("they are put together from several schemas")
        schema = read.standing_alone()["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    raise InexpressibleError("its references lead on and on")


QWEN_XML = TaggedForm(
    opening="<tool_call>",
    call_opens="\n<function={name}>\n",
    call_closes="</function>\n</tool_call>",
    key_opens="<parameter={key}>\n",
    value_closes="</parameter>",
    between="\n<tool_call>",
    key_ends="\n",
    frame="\n",
    forbidden=("<function=", "</function>", "</tool_call>"),
)
GLM = TaggedForm(
    opening="<tool_call>",
    call_opens="{name}\n",
    call_closes="</tool_call>",
    key_opens="<arg_key>{key}</arg_key>\n<arg_value>",
    value_closes="</arg_value>",
    between="\n<tool_call>",
    key_ends="\n",
    forbidden=("<tool_call>", "</tool_call>"),
    unknown=ANY,
    untyped=ANY,
)
MINIMAX = TaggedForm(
    opening="<minimax:tool_call>",
    call_opens='\n<invoke name="{name}">\n',
    call_closes="</invoke>",
    key_opens='<parameter name="{key}">',
    value_closes="</parameter>",
    between="",
    key_ends="\n",
    last="\n</minimax:tool_call>",
    forbidden=("<invoke name=", "</invoke>", "</minimax:tool_call>"),
)
