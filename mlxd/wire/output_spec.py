"""What is to be made of generated tokens, and what they may be."""

from typing import Any, Literal

import msgspec


class Tool(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A function that the model may call. ``parameters`` is the JSON schema of its arguments; None: any object."""

    name: str
    parameters: dict[str, Any] | None = None
    strict: bool = False  # arguments must be valid, whatever ``ToolRules.required`` says


class ToolRules(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The tools that an answer may call. With ``required`` it calls one at least, by grammar; without ``parallel`` at most one."""

    tools: list[Tool]
    required: bool = False
    parallel: bool = True


class _Constraint(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What all of an answer's content must be, tagged by its class name."""


class JsonObject(_Constraint, frozen=True, kw_only=True):
    """The answer is a JSON object, whatever is in it."""


class JsonSchema(_Constraint, frozen=True, kw_only=True):
    """JSON that is valid against ``schema``. ``field`` is the request's field that holds it, for errors to point into."""

    field: str
    schema: dict[str, Any] | bool


class Regex(_Constraint, frozen=True, kw_only=True):
    """Text that ``pattern`` matches as a whole."""

    field: str
    pattern: str


class Choice(_Constraint, frozen=True, kw_only=True):
    """One of several texts."""

    field: str
    choices: list[str]


class Grammar(_Constraint, frozen=True, kw_only=True):
    """Text of a context-free grammar: llguidance's dialect of Lark, or llama.cpp's GBNF."""

    field: str
    text: str
    syntax: Literal["lark", "gbnf"]


Constraint = JsonObject | JsonSchema | Regex | Choice | Grammar


class OutputSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to be made of the generated tokens, and what they may be."""

    stop: list[str] = []  # content ends before the first of these
    include_stop: bool = False  # or behind it
    special_tokens: bool = False  # the spelling of control tokens is shown
    is_raw: bool = False  # everything is content, as the model wrote it: neither reasoning nor calls are told apart
    logprobs: int | None = None  # of each token, and of so many that were the most likely in its place; None: of none
    echo: bool = False  # ``Echo`` the prompt; with ``logprobs``, with those of its tokens
    tools: ToolRules | None = None  # None: what looks like a call is text
    constraint: Constraint | None = None
    predicted: str = ""  # what the client thinks its content will be: guesses come from it, and change nothing of it
    thinking_budget: int | None = None  # tokens of reasoning, after which it is closed
