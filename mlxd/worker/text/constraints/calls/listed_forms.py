"""Forms that write arguments one behind the other, with commas between: as Python does, and Gemma."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from mlxd.worker.text.constraints.calls.arguments import ANY_KEY, MOST_KEYS, arguments_of, enforced
from mlxd.worker.text.constraints.calls.call_form import CallForm, any_of, repeated
from mlxd.worker.text.constraints.calls.offered import Offered
from mlxd.worker.text.constraints.calls.values import InexpressibleError, RawValue
from mlxd.worker.text.constraints.grammar import Rule, composed, json_rule
from mlxd.worker.text.constraints.json_schema import ANYTHING, ReadSchema
from mlxd.worker.text.constraints.vocabulary import Vocabulary, quoted
from mlxd.worker.text.parsers.schema_kinds import STRING


@dataclass(frozen=True)
class _Written:
    """An argument with its name, as an expression."""

    expression: str
    is_required: bool


@dataclass(frozen=True)
class ListedForm(CallForm):
    """A form in which a call is its name and its arguments in brackets. ``string_mark`` stands on either side of a string, which is JSON's
    where it is empty; every other value is JSON.
    """

    opening: str
    first: str
    call_opens: str  # before the name
    opens: str
    assigns: str
    closes: str
    between: str
    last: str
    keys: re.Pattern[str]
    string_mark: str = ""

    @override
    def rest(self, tools: Sequence[Offered], vocabulary: Vocabulary, *, most: int) -> Rule:
        calls = repeated(any_of(tools, lambda tool: self._call(tool, vocabulary)), vocabulary.written(self.between), most)
        return composed(f"{vocabulary.written(self.first)} {calls.expression} {vocabulary.written(self.last)}", calls)

    def _call(self, tool: Offered, vocabulary: Vocabulary) -> Rule:
        arguments = enforced(tool, lambda: self._arguments(tool, vocabulary), otherwise=self._any_arguments)
        opens = vocabulary.written(self.call_opens + tool.name + self.opens)
        return composed(f"{opens} {arguments.expression} {vocabulary.written(self.closes)}", arguments)

    def _arguments(self, tool: Offered, vocabulary: Vocabulary) -> Rule:
        found = arguments_of(tool)
        if not found.named and not found.has_properties:
            return self._any_arguments() if found.others in (True, {"$ref": ANYTHING}) else Rule(quoted(""))
        rules, written = list[Rule](), list[_Written]()
        for one in found.named:
            if self.keys.fullmatch(one.key) is None:
                raise InexpressibleError(f"the name {one.key[:40]!r} cannot be written")
            rules.append(self._value(one.schema, tool, vocabulary, one.rule_name))
            written.append(_Written(f"{quoted(one.key + self.assigns)} ({rules[-1].expression})", one.is_required))
        own = _separated(written, f"arguments_{tool.number}")
        return composed(own.expression, *rules, own)

    def _value(self, schema: object, tool: Offered, vocabulary: Vocabulary, name: str) -> Rule:
        if not self.string_mark:
            return json_rule(tool.schema.standing_alone(schema))
        value = RawValue(vocabulary, self.string_mark, opens=vocabulary.written(self.string_mark))
        return value.rule(schema, tool.schema, STRING, name)

    def _any_arguments(self) -> Rule:
        value = json_rule(ReadSchema({"$ref": ANYTHING}).standing_alone())
        one = f"{ANY_KEY} {quoted(self.assigns)} any_value"
        return composed(f'({one} (", " {one}){{0,{MOST_KEYS}}})?', value, any_value=value.expression)


def _separated(arguments: Sequence[_Written], name: str) -> Rule:
    """Returns the rule of arguments with commas between those that are there."""
    rules = {f"{name}_more{len(arguments)}": quoted(""), f"{name}_first{len(arguments)}": quoted("")}
    for number in range(len(arguments) - 1, -1, -1):
        one, is_required = arguments[number].expression, arguments[number].is_required
        more, first = f"{name}_more{number + 1}", f"{name}_first{number + 1}"
        following = f'", " {one}'
        rules[f"{name}_more{number}"] = f"{following if is_required else f'({following})?'} {more}"
        rules[f"{name}_first{number}"] = f"{one} {more}" + ("" if is_required else f" | {first}")
    return Rule(f"{name}_first0", rules)


_IDENTIFIER = re.compile(r"[^\W\d]\w{0,63}", re.ASCII)


def pythonic(vocabulary: Vocabulary) -> ListedForm:
    """Returns the form of Llama 4 and LFM2, with the markers that the vocabulary has."""
    known = (("<|tool_call_start|>", "<|tool_call_end|>"), ("<|python_start|>", "<|python_end|>"))
    opens, closes = next((pair for pair in known if vocabulary.token(pair[0]) is not None), ("", ""))
    return ListedForm(opens, "[", "", "(", "=", ")", ", ", "]" + closes, _IDENTIFIER)


def gemma(vocabulary: Vocabulary) -> ListedForm:
    """Returns the form of Gemma 4, or of FunctionGemma where the vocabulary has its markers."""
    keys = re.compile(r"[^:,{}\[\]<>\"'\s]{1,64}")
    if vocabulary.token("<|tool_call>") is None and vocabulary.token("<start_function_call>") is not None:
        between = "<end_function_call><start_function_call>"
        return ListedForm("<start_function_call>", "", "call:", "{", ":", "}", between, "<end_function_call>", keys, "<escape>")
    return ListedForm("<|tool_call>", "", "call:", "{", ":", "}", "<tool_call|><|tool_call>", "<tool_call|>", keys, '<|"|>')
