"""Fields of OpenAI's API (and of its descendants) that mlxd knows and does nothing with.

A hint, which no answer depends on (whose request it is, what a provider may cache), passes with any value of its type. Of the others a
value that asks for nothing (``n: 1``, ``tools: []``) passes, and any other is refused by name.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlxd.errors import UnsupportedParameterError


@dataclass(frozen=True)
class Neutral:
    """Which values of a field ask for nothing. ``null`` always does."""

    accepts: Callable[[object], bool]
    text: str  # for people: the values that are accepted


def _only(*values: object) -> Neutral:
    """Returns a rule that accepts these values: ``true`` is not 1, and 1.0 is."""
    shown = " or ".join(json.dumps(value) for value in values)
    return Neutral(lambda found: any(isinstance(found, bool) == isinstance(value, bool) and found == value for value in values), shown)


_NOTHING = Neutral(lambda _: False, "null")
_TEXT = Neutral(lambda found: isinstance(found, str), "a string")
_OBJECT = Neutral(lambda found: isinstance(found, dict), "an object")
_ARRAY = Neutral(lambda found: isinstance(found, list), "an array")
_BOOLEAN = Neutral(lambda found: isinstance(found, bool), "true or false")

# About the end user, a provider's caches or its prices. Prompts that begin alike are cached here whether or not somebody asks.
HINTS: Mapping[str, Neutral] = {
    "user": _TEXT,
    "metadata": _OBJECT,
    "safety_identifier": _TEXT,
    "prompt_cache_key": _TEXT,
    "prompt_cache_retention": _TEXT,
    "cache_control": _OBJECT,
    "service_tier": _TEXT,
}

_COMMON = {
    **HINTS,
    "n": _only(1),
    "best_of": _only(1),
    "store": _only(False),  # noqa: FBT003 - a JSON value
    "top_logprobs": _only(0),
    "min_tokens": _only(0),
    "ignore_eos": _only(False),  # noqa: FBT003
    "stop_token_ids": _only([]),
    "skip_special_tokens": _only(True),  # noqa: FBT003
    "guided_json": _NOTHING,
    "guided_regex": _NOTHING,
    "guided_choice": _NOTHING,
    "guided_grammar": _NOTHING,
    "structured_outputs": _NOTHING,
    "length_penalty": _only(1, 1.0),
    "use_beam_search": _only(False),  # noqa: FBT003
    "xtc_probability": _only(0, 0.0),
    "xtc_threshold": _only(0, 0.0),
    "adapters": _NOTHING,
    "draft_model": _NOTHING,
    "num_draft_tokens": _NOTHING,
}

CHAT: Mapping[str, Neutral] = _COMMON | {
    "logprobs": _only(False),  # noqa: FBT003
    "response_format": _only({"type": "text"}),
    "tools": _only([]),
    "tool_choice": _only("none", "auto"),
    "parallel_tool_calls": _BOOLEAN,  # without tools it says nothing
    "functions": _only([]),
    "function_call": _only("none", "auto"),
    "modalities": _only(["text"]),
    "audio": _NOTHING,
    "prediction": _NOTHING,
    "reasoning_effort": _NOTHING,
    "verbosity": _only("medium"),
    "web_search_options": _NOTHING,
    "chat_template": _NOTHING,
    "chat_template_kwargs": _only({}),
    "documents": _only([]),
}

COMPLETIONS: Mapping[str, Neutral] = _COMMON | {
    "logprobs": _NOTHING,
    "echo": _only(False),  # noqa: FBT003
    "suffix": _only(""),
}

STREAM_OPTIONS: Mapping[str, Neutral] = {
    "include_obfuscation": _only(False),  # noqa: FBT003 - padding against eavesdroppers on the length of tokens
    "continuous_usage_stats": _only(False),  # noqa: FBT003
}

MESSAGE: Mapping[str, Neutral] = {
    "cache_control": _OBJECT,
    "tool_calls": _only([]),
    "tool_call_id": _NOTHING,
    "function_call": _NOTHING,
    "refusal": _only(""),
    "audio": _NOTHING,
}

# What clients send back of an answer they got. Of reasoning, templates leave out that of earlier turns.
ANSWERED: Mapping[str, Neutral] = {
    **MESSAGE,
    "id": _TEXT,
    "prefix": _only(False),  # noqa: FBT003
    "annotations": _ARRAY,
    "reasoning_content": _TEXT,
    "reasoning": _TEXT,
    "reasoning_details": _ARRAY,
    "thinking_blocks": _ARRAY,
    "provider_specific_fields": _OBJECT,
}


def without_neutral(body: Mapping[str, Any], known: Mapping[str, Neutral], where: str = "") -> dict[str, Any]:
    """Returns ``body`` without the fields of ``known``. ``where`` is what the message puts before a name, such as ``"messages[2]."``.

    Raises ``UnsupportedParameterError`` for the first of them that asks for something.
    """
    rest: dict[str, Any] = {}
    for name, value in body.items():
        neutral = known.get(name)
        if neutral is None:
            rest[name] = value
        elif value is not None and not neutral.accepts(value):
            also = "" if neutral is _NOTHING else f", or set it to {neutral.text}"
            message = f"{where}{name} is not supported yet with this value; leave it out{also}"
            raise UnsupportedParameterError(message, param=f"{where}{name}")
    return rest
