"""Which texts give a shape away: markers of calls and of reasoning, as models' templates and vocabularies spell them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mlxd.types import ReasoningShape, ToolShape

Shape = TypeVar("Shape", ToolShape, ReasoningShape)

_BAR, _SPACE = "\uff5c", "\u2581"  # DeepSeek spells its control tokens with these


@dataclass(frozen=True)
class Markers:
    """What stands before and behind a part of an answer."""

    opens: str
    closes: str


@dataclass(frozen=True)
class Rule(Generic[Shape]):
    """A shape, and what gives it away where all of it is found. The first of the texts is shown to people."""

    shape: Shape
    texts: tuple[str, ...]


# The first rule that fits counts: what is found inside another shape's marker comes behind that shape.
TOOL_RULES: Sequence[Rule[ToolShape]] = (
    Rule(ToolShape.MINIMAX, ("<minimax:tool_call>",)),
    Rule(ToolShape.GEMMA, ("<|tool_call>", "<tool_call|>")),
    Rule(ToolShape.GEMMA, ("<start_function_call>",)),
    Rule(ToolShape.LONGCAT, ("<longcat_tool_call>",)),
    Rule(ToolShape.GLM, ("<arg_key>",)),
    Rule(ToolShape.KIMI, ("<|tool_calls_section_begin|>",)),
    Rule(ToolShape.DEEPSEEK, (f"<{_BAR}tool{_SPACE}calls{_SPACE}begin{_BAR}>",)),
    Rule(ToolShape.DEEPSEEK, (f"<{_BAR}DSML{_BAR}",)),
    Rule(ToolShape.DEEPSEEK, (f"{_BAR}DSML{_BAR}",)),
    Rule(ToolShape.COHERE, ("<|START_ACTION|>",)),
    Rule(ToolShape.HARMONY, ("<|channel|>", "<|message|>", "<|start|>")),
    Rule(ToolShape.MISTRAL, ("[TOOL_CALLS]",)),
    Rule(ToolShape.PYTHONIC, ("<|tool_call_start|>",)),
    Rule(ToolShape.PYTHONIC, ("<|tool_list_start|>",)),
    Rule(ToolShape.PYTHONIC, ("<|python_start|>",)),
    Rule(ToolShape.QWEN_XML, ("<function=", "<parameter=")),
    Rule(ToolShape.HERMES, ("<tool_call>",)),
    Rule(ToolShape.PYTHONIC, ("[func_name1(",)),
    Rule(ToolShape.JSON, ("<|python_tag|>",)),
    Rule(ToolShape.JSON, ('{"name": function name',)),
    Rule(ToolShape.JSON, ("<|tool_call|>",)),
    Rule(ToolShape.JSON, ('{"name": "',)),
)

REASONING_RULES: Sequence[Rule[ReasoningShape]] = (
    Rule(ReasoningShape.HARMONY, ("<|channel|>", "<|message|>", "<|start|>")),
    Rule(ReasoningShape.MISTRAL, ("[THINK]", "[/THINK]")),
    Rule(ReasoningShape.COHERE, ("<|START_THINKING|>", "<|END_THINKING|>")),
    Rule(ReasoningShape.THOUGHT, ("<|begin_of_thought|>", "<|end_of_thought|>")),
    Rule(ReasoningShape.GEMMA, ("<|channel>", "<channel|>")),
    Rule(ReasoningShape.THINK, ("</think>",)),
    Rule(ReasoningShape.THINK, ("</thinking>",)),
    Rule(ReasoningShape.THINK, ("</seed:think>",)),
    Rule(ReasoningShape.THINK, ("</longcat_think>",)),
    Rule(ReasoningShape.THINK, ("<|think:start|>", "<|think:end|>")),
    Rule(ReasoningShape.THINK, ("</thought>",)),
)

# What stands around reasoning: of each shape, the pair that nearly all of its models have comes first.
THINKING: dict[ReasoningShape, tuple[Markers, ...]] = {
    ReasoningShape.NONE: (),
    ReasoningShape.HARMONY: (),  # a channel of its messages
    ReasoningShape.MISTRAL: (Markers("[THINK]", "[/THINK]"),),
    ReasoningShape.COHERE: (Markers("<|START_THINKING|>", "<|END_THINKING|>"),),
    ReasoningShape.THOUGHT: (Markers("<|begin_of_thought|>", "<|end_of_thought|>"),),
    ReasoningShape.GEMMA: (Markers("<|channel>thought", "<channel|>"),),
    ReasoningShape.THINK: (
        Markers("<think>", "</think>"),
        Markers("<thinking>", "</thinking>"),
        Markers("<seed:think>", "</seed:think>"),
        Markers("<longcat_think>", "</longcat_think>"),
        Markers("<|think:start|>", "<|think:end|>"),
        Markers("<thought>", "</thought>"),
    ),
}

# mlx-lm's names of its parsers, as its conversions write them into tokenizer_config.json.
PARSER_TYPES = {
    "json_tools": ToolShape.HERMES,
    "qwen3_coder": ToolShape.QWEN_XML,
    "glm47": ToolShape.GLM,
    "laguna": ToolShape.GLM,
    "pythonic": ToolShape.PYTHONIC,
    "mistral": ToolShape.MISTRAL,
    "kimi_k2": ToolShape.KIMI,
    "gemma4": ToolShape.GEMMA,
    "function_gemma": ToolShape.GEMMA,
    "minimax_m2": ToolShape.MINIMAX,
    "longcat": ToolShape.LONGCAT,
}


def texts_of(rules: Sequence[Rule[Shape]], shape: Shape) -> Iterator[str]:
    """Yields the texts that any rule names for a shape."""
    for rule in rules:
        if rule.shape == shape:
            yield from rule.texts
