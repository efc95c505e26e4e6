"""Forms that write each argument between tags of its own, without quotes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from typing_extensions import override

from mlxd.worker.text.constraints.calls.arguments import ANY_KEY, MOST_KEYS, Argument, arguments_of, enforced
from mlxd.worker.text.constraints.calls.call_form import CallForm, any_of, repeated
from mlxd.worker.text.constraints.calls.offered import Offered
from mlxd.worker.text.constraints.calls.values import InexpressibleError, RawValue
from mlxd.worker.text.constraints.grammar import Rule, composed
from mlxd.worker.text.constraints.json_schema import ANYTHING, ReadSchema
from mlxd.worker.text.constraints.vocabulary import Vocabulary, quoted
from mlxd.worker.text.parsers.dsml import DsmlParser
from mlxd.worker.text.parsers.glm import GlmParser
from mlxd.worker.text.parsers.minimax import MinimaxParser
from mlxd.worker.text.parsers.qwen_xml import QwenXmlParser
from mlxd.worker.text.parsers.schema_kinds import ANY, CONTAINERS, STRING, Kinds, kinds_taken

_NAME, _KEY = "{name}", "{key}"


@dataclass(frozen=True)
class TaggedForm(CallForm):
    """A form in which a call is its name, its parameters in the schema's order, and its end. ``frame`` is the white space that stands
    before what closes a value, too. ``json_key_opens`` is there where the form says whether a value is a string. ``unknown`` and
    ``untyped`` are what its parser takes a value for, as ``TaggedParser`` has them.
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
    json_key_opens: str = ""  # up to a value that is no string
    unknown: Kinds = STRING
    untyped: Kinds = STRING | CONTAINERS

    @override
    def rest(self, tools: Sequence[Offered], vocabulary: Vocabulary, *, most: int) -> Rule:
        calls = repeated(any_of(tools, lambda tool: self._call(tool, vocabulary)), vocabulary.written(self.between), most)
        return composed(f"{calls.expression} {vocabulary.written(self.last)}", calls)

    def _call(self, tool: Offered, vocabulary: Vocabulary) -> Rule:
        parameters = enforced(
            tool,
            lambda: self._parameters(tool, vocabulary),
            otherwise=lambda: self._any_parameters(vocabulary, f"open_{tool.number}"),
        )
        opens = vocabulary.written(self.call_opens.replace(_NAME, tool.name))
        return composed(f"{opens} {parameters.expression} {vocabulary.written(self.call_closes)}", parameters)

    def _parameters(self, tool: Offered, vocabulary: Vocabulary) -> Rule:
        arguments = arguments_of(tool)
        rules = [self._parameter(tool, vocabulary, one) for one in arguments.named]
        if not arguments.has_properties and arguments.others is not False:
            rules.append(self._any_parameters(vocabulary, f"open_{tool.number}", tool, arguments.others))
        return composed(" ".join(rule.expression for rule in rules), *rules)

    def _parameter(self, tool: Offered, vocabulary: Vocabulary, argument: Argument) -> Rule:
        if re.search(r"[<>\"'\n=]|^\s|\s$|^$", argument.key):
            raise InexpressibleError(f"the name {argument.key[:40]!r} cannot be written")
        taken_for = self._taken_for(tool, argument.key)
        key = quoted(argument.key)
        value = self._value(vocabulary, key).rule(argument.schema, tool.schema, taken_for, argument.rule_name)
        written = f"{self._opens(vocabulary, key)} ({value.expression}) {vocabulary.written(self.key_ends)}"
        return composed(written if argument.is_required else f"({written})?", value)

    def _any_parameters(self, vocabulary: Vocabulary, name: str, tool: Offered | None = None, schema: Any = None) -> Rule:
        """Returns the rule of parameters that have any names."""
        if tool is None or schema in (None, True, {"$ref": ANYTHING}):
            value = self._value(vocabulary, ANY_KEY).rule({"type": "string"}, ReadSchema({}), ANY, name)
        else:
            value = self._value(vocabulary, ANY_KEY).rule(schema, tool.schema, self._taken_for(tool, "\0"), name)
        return composed(
            f"({self._opens(vocabulary, ANY_KEY)} ({value.expression}) {vocabulary.written(self.key_ends)}){{0,{MOST_KEYS}}}", value
        )

    def _taken_for(self, tool: Offered, key: str) -> Kinds:
        return kinds_taken(tool.tool, key, unknown=self.unknown, untyped=self.untyped)

    def _opens(self, vocabulary: Vocabulary, key: str) -> str:
        """Returns the expression of what stands before a value of any kind; ``key`` is an expression, too."""
        return "" if self.json_key_opens else _head(self.key_opens, key, vocabulary)

    def _value(self, vocabulary: Vocabulary, key: str) -> RawValue:
        value = RawValue(vocabulary, self.value_closes, self.frame, forbidden=self.forbidden)
        if not self.json_key_opens:
            return value
        return replace(value, opens=_head(self.key_opens, key, vocabulary), json_opens=_head(self.json_key_opens, key, vocabulary))


def _head(opens: str, key: str, vocabulary: Vocabulary) -> str:
    before, _, behind = opens.partition(_KEY)
    return f"{vocabulary.written(before)} {key} {vocabulary.written(behind)}"


QWEN_XML = TaggedForm(
    opening=QwenXmlParser.openings[0],
    call_opens=f"\n{QwenXmlParser.function_opens}{_NAME}>\n",
    call_closes=f"{QwenXmlParser.function_closes}\n{QwenXmlParser.section_closes}",
    key_opens=f"{QwenXmlParser.parameter_opens}{_KEY}>\n",
    value_closes=QwenXmlParser.value_closes,
    between=f"\n{QwenXmlParser.openings[0]}",
    key_ends="\n",
    frame="\n",
    forbidden=(QwenXmlParser.function_opens, QwenXmlParser.function_closes, QwenXmlParser.section_closes),
)
GLM = TaggedForm(
    opening=GlmParser.function_opens,
    call_opens=f"{_NAME}\n",
    call_closes=GlmParser.function_closes,
    key_opens=f"{GlmParser.parameter_opens}{_KEY}</arg_key>\n{GlmParser.parameter_tail_ends}",
    value_closes=GlmParser.value_closes,
    between=f"\n{GlmParser.function_opens}",
    key_ends="\n",
    forbidden=(GlmParser.function_opens, GlmParser.function_closes),
    unknown=GlmParser.unknown,
    untyped=GlmParser.untyped,
)
MINIMAX = TaggedForm(
    opening=MinimaxParser.openings[0],
    call_opens=f'\n{MinimaxParser.function_opens}"{_NAME}">\n',
    call_closes=MinimaxParser.function_closes,
    key_opens=f'{MinimaxParser.parameter_opens}"{_KEY}">',
    value_closes=MinimaxParser.value_closes,
    between="",
    key_ends="\n",
    last=f"\n{MinimaxParser.section_closes}",
    forbidden=(MinimaxParser.function_opens, MinimaxParser.function_closes, MinimaxParser.section_closes),
)
DSML = TaggedForm(
    opening=DsmlParser.openings[0],
    call_opens=f'\n{DsmlParser.function_opens}"{_NAME}">\n',
    call_closes=DsmlParser.function_closes,
    key_opens=f'{DsmlParser.parameter_opens}"{_KEY}" string="true">',
    json_key_opens=f'{DsmlParser.parameter_opens}"{_KEY}" string="false">',
    value_closes=DsmlParser.value_closes,
    between="",
    key_ends="\n",
    last=f"\n{DsmlParser.closings[0]}",
    forbidden=(DsmlParser.function_opens, DsmlParser.function_closes, DsmlParser.closings[0]),
)
