"""Which shapes a model speaks: how it writes tool calls, and how it marks what it thinks. Its files show it, or an operator says it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlxd.types import ReasoningShape, ToolShape
from mlxd.worker.text.shape_rules import PARSER_TYPES, REASONING_RULES, THINKING, TOOL_RULES, Markers, Rule, Shape, texts_of

_SET = 'set in the configuration: output.{} = "{}"'


@dataclass(frozen=True)
class Shapes:
    """The shapes of one model's answers. ``thinking`` is what stands around reasoning, where that is a pair of markers. Origins and
    warnings are for people: ``chat_template.jinja has <tool_call>``.
    """

    tools: ToolShape = ToolShape.NONE
    reasoning: ReasoningShape = ReasoningShape.NONE
    thinking: Markers | None = None
    tools_origin: str = ""
    reasoning_origin: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """What tells a model's shapes. ``templates`` are texts that show how it writes, by their origin, the most telling first;
    ``parser_type`` is ``tool_parser_type`` of mlx-lm's conversions; ``tells_tools`` is whether the chat template tells the model of tools.
    """

    templates: Mapping[str, str]
    vocabulary: Collection[str]
    parser_type: str | None = None
    tells_tools: bool = True


@dataclass(frozen=True)
class WishedShapes:
    """The shapes that an operator has set; None: those that the model's files show."""

    tools: ToolShape | None = None
    reasoning: ReasoningShape | None = None


AS_SHOWN = WishedShapes()


@dataclass(frozen=True)
class _Tools:
    shape: ToolShape
    origin: str


@dataclass(frozen=True)
class _Reasoning:
    shape: ReasoningShape
    origin: str


def find_shapes(evidence: Evidence, wished: WishedShapes) -> Shapes:
    """Returns the shapes that are wished for, else those that ``evidence`` shows. What does not fit together is a warning."""
    shown, thinks = _tools_shown(evidence), _reasoning_shown(evidence)
    tools = shown if wished.tools is None else _Tools(wished.tools, _SET.format("tools", wished.tools))
    reasoning = thinks if wished.reasoning is None else _Reasoning(wished.reasoning, _SET.format("reasoning", wished.reasoning))
    warnings = [*_parser_doubts(evidence, tools), *_tool_doubts(evidence, wished, shown), *_reasoning_doubts(evidence, wished, thinks)]
    thinking = _thinking(reasoning.shape, evidence)
    return Shapes(tools.shape, reasoning.shape, thinking, tools.origin, reasoning.origin, tuple(warnings))


def _tools_shown(evidence: Evidence) -> _Tools:
    """Returns what a model's template asks for, which it will write whatever else it could."""
    if not evidence.tells_tools:
        return _Tools(ToolShape.HERMES, "the chat template shows no tools, so mlxd's own prompt does")
    for origin, text in evidence.templates.items():
        if rule := _fitting(TOOL_RULES, text):
            return _Tools(rule.shape, f"{origin} has {rule.texts[0]}")
    if evidence.parser_type in PARSER_TYPES:
        return _Tools(PARSER_TYPES[evidence.parser_type], f'tokenizer_config.json "tool_parser_type" is {evidence.parser_type}')
    if rule := _fitting(TOOL_RULES, evidence.vocabulary):
        return _Tools(rule.shape, f"the vocabulary has {rule.texts[0]}")
    return _Tools(ToolShape.NONE, "neither the chat template nor the vocabulary has a marker of calls")


def _reasoning_shown(evidence: Evidence) -> _Reasoning:
    for origin, text in evidence.templates.items():
        if rule := _fitting(REASONING_RULES, text):
            return _Reasoning(rule.shape, f"{origin} has {rule.texts[0]}")
    if rule := _fitting(REASONING_RULES, evidence.vocabulary):
        return _Reasoning(rule.shape, f"the vocabulary has {rule.texts[0]}")
    return _Reasoning(ReasoningShape.NONE, "neither the chat template nor the vocabulary has a marker of reasoning")


def _fitting(rules: Sequence[Rule[Shape]], found_in: Collection[str]) -> Rule[Shape] | None:
    return next((rule for rule in rules if all(text in found_in for text in rule.texts)), None)


def _thinking(shape: ReasoningShape, evidence: Evidence) -> Markers | None:
    """Returns the pair of markers that the model's files have, else the usual one of its shape."""
    pairs = THINKING[shape]
    texts = [*evidence.templates.values(), evidence.vocabulary]
    return next((pair for text in texts for pair in pairs if pair.closes in text), pairs[0] if pairs else None)


def _parser_doubts(evidence: Evidence, tools: _Tools) -> Iterator[str]:
    name = evidence.parser_type
    if name is None or PARSER_TYPES.get(name) == tools.shape:
        return
    yield (
        f'tokenizer_config.json "tool_parser_type" is {name}, which is not how calls are read here: '
        f"their shape is {tools.shape} ({tools.origin})"
    )


def _tool_doubts(evidence: Evidence, wished: WishedShapes, shown: _Tools) -> Iterator[str]:
    if wished.tools in (None, ToolShape.NONE, shown.shape):
        return
    if evidence.tells_tools:
        yield from _unsupported("tools", wished.tools, texts_of(TOOL_RULES, wished.tools), evidence, f"{shown.shape}, for {shown.origin}")
    else:
        yield f'output.tools is "{wished.tools}", but {shown.origin}, which asks for {shown.shape}'


def _reasoning_doubts(evidence: Evidence, wished: WishedShapes, shown: _Reasoning) -> Iterator[str]:
    if wished.reasoning not in (None, ReasoningShape.NONE, shown.shape):
        marks = texts_of(REASONING_RULES, wished.reasoning)
        yield from _unsupported("reasoning", wished.reasoning, marks, evidence, f"{shown.shape}, for {shown.origin}")


def _unsupported(key: str, value: str, marks: Iterator[str], evidence: Evidence, otherwise: str) -> Iterator[str]:
    """Warns of a shape none of whose ``marks`` the model's files have: nothing would ever be found."""
    texts = [*evidence.templates.values(), evidence.vocabulary]
    marks_of_it = [*marks]
    if not any(mark in text for mark in marks_of_it for text in texts):
        known = " or ".join(marks_of_it[:2])
        yield f'output.{key} is "{value}", but neither the chat template nor the vocabulary has {known}; unset, it would be {otherwise}'
