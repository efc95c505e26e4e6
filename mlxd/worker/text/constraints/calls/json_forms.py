"""Forms whose arguments are JSON objects."""

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from mlxd.worker.text.constraints.calls.call_form import CallForm, any_of, repeated
from mlxd.worker.text.constraints.calls.offered import Offered
from mlxd.worker.text.constraints.grammar import Rule, composed
from mlxd.worker.text.constraints.vocabulary import Vocabulary
from mlxd.worker.text.parsers import deepseek

_NAME, _INDEX = "{name}", "{index}"


@dataclass(frozen=True)
class JsonForm(CallForm):
    """A form in which every call is what stands ``before`` its arguments, they, and what stands ``after`` them; or the ``other`` two, of
    which a model takes those that it knows. ``first`` stands once behind the opening, ``last`` behind the last call.
    """

    opening: str
    before: str
    after: str
    between: str
    first: str = ""
    last: str = ""
    other: tuple[str, str] | None = None

    @override
    def rest(self, tools: Sequence[Offered], vocabulary: Vocabulary, *, most: int) -> Rule:
        ways = [(self.before, self.after), *([self.other] if self.other else [])]

        def call(tool: Offered) -> Rule:
            arguments, name = tool.arguments, f"arguments{tool.number}"
            written = [
                f"{_before(before.replace(_NAME, tool.name), vocabulary)} {name} {vocabulary.written(after)}" for before, after in ways
            ]
            return composed(" | ".join(written), arguments, **{name: arguments.expression})

        calls = repeated(any_of(tools, call), vocabulary.written(self.between), most)
        return composed(f"{vocabulary.written(self.first)} {calls.expression} {vocabulary.written(self.last)}", calls)


def _before(text: str, vocabulary: Vocabulary) -> str:
    """Returns the expression of what stands before arguments, of which the number of the call may be a part."""
    before, index, behind = text.partition(_INDEX)
    return f"{vocabulary.written(before)} {'/[0-9]{1,2}/' if index else ''} {vocabulary.written(behind)}"


_OBJECT = '{"name": "{name}", "arguments": '

HERMES = JsonForm("<tool_call>", f"\n{_OBJECT}", "}\n</tool_call>", "\n<tool_call>")
LONGCAT = JsonForm("<longcat_tool_call>", _OBJECT, "}</longcat_tool_call>", "\n<longcat_tool_call>")
KIMI = JsonForm(
    "<|tool_calls_section_begin|>",
    "functions.{name}:{index}<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
    "<|tool_call_begin|>",
    first="<|tool_call_begin|>",
    last="<|tool_calls_section_end|>",
)
COHERE = JsonForm(
    "<|START_ACTION|>",
    '{"tool_call_id": "{index}", "tool_name": "{name}", "parameters": ',
    "}",
    ",\n    ",
    first="[\n    ",
    last="\n]<|END_ACTION|>",
)
MISTRAL = JsonForm("[TOOL_CALLS]", "{name}[ARGS]", "", "[TOOL_CALLS]")
MISTRAL_ARRAY = JsonForm("[TOOL_CALLS]", _OBJECT, "}", ", ", first="[", last="]")
HARMONY = JsonForm("<|channel|>commentary to=functions.", "{name} <|constrain|>json<|message|>", "", "")
BARE = JsonForm("", '{"name": "{name}", "parameters": ', "}", "; ", other=(_OBJECT, "}"))
MARKED_ARRAY = JsonForm("<|tool_call|>", _OBJECT, "}", ", ", first="[", last="]")
DEEPSEEK = JsonForm(
    deepseek.SECTION_OPENS,
    f"{{name}}{deepseek.SEPARATOR}",
    deepseek.CALL_CLOSES,
    deepseek.CALL_OPENS,
    first=deepseek.CALL_OPENS,
    last=deepseek.SECTION_CLOSES,
    other=(f"function{deepseek.SEPARATOR}{{name}}\n```json\n", f"\n```{deepseek.CALL_CLOSES}"),
)
