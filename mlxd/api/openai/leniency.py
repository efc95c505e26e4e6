"""What is tolerated, though it changes no answer: fields of OpenAI's API, and of its descendants, that mlxd knows and does nothing with.

A hint, which no answer depends on (whose request it is, what a provider may cache), passes with any value of its type. Of the other fields
a value that asks for nothing (``suffix: ""``, ``audio: null``) passes, and any other is refused by name. What is in none of these tables,
and no field that is obeyed, is an unknown field: ``server.unknown_fields`` says what becomes of it.

``docs/compatibility.md`` is made from these tables.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Which values of a field pass, and ask for nothing. ``null`` always does."""

    accepts: Callable[[object], bool]
    values: str  # for people: what passes; empty for null alone
    is_hint: bool  # every value of its type passes
    why: str = ""  # for people: what the field is about


Rules = Mapping[str, Rule]


@dataclass(frozen=True)
class _Kind:
    type: type | tuple[type, ...]
    name: str

    def holds(self, value: object) -> bool:
        return isinstance(value, self.type) and (self.type is bool or not isinstance(value, bool))


_TEXT = _Kind(str, "a string")
_OBJECT = _Kind(dict, "an object")
_ARRAY = _Kind(list, "an array")
_BOOLEAN = _Kind(bool, "true or false")
_NUMBER = _Kind((int, float), "a number")
_ANY = _Kind((str, dict, list, int, float), "anything")


def _hint(kind: _Kind, why: str) -> Rule:
    return Rule(accepts=kind.holds, values=kind.name, is_hint=True, why=why)


def _only(*values: object, why: str = "") -> Rule:
    """Returns a rule that accepts these values: ``true`` is not 1, and 1.0 is."""
    shown = " or ".join(json.dumps(value) for value in values)
    return Rule(
        accepts=lambda found: any(isinstance(found, bool) == isinstance(value, bool) and found == value for value in values),
        values=shown,
        is_hint=False,
        why=why,
    )


_OFF = _only(False)  # noqa: FBT003 - a JSON value
_CACHING = "Prompts that begin alike are cached whether or not somebody asks."
_BILLING = "It is about a provider's prices."
_WHOSE = "It is about whose request it is."
_ELSEWHERE = "Which hardware or provider computes is the operator's choice."

HINTS: Rules = {
    "user": _hint(_TEXT, _WHOSE),
    "metadata": _hint(_OBJECT, _WHOSE),
    "safety_identifier": _hint(_TEXT, _WHOSE),
    "store": _hint(_BOOLEAN, "No answer is stored, and nothing offers stored ones."),
    "prompt_cache_key": _hint(_TEXT, _CACHING),
    "prompt_cache_retention": _hint(_TEXT, _CACHING),
    "prompt_cache_options": _hint(_OBJECT, _CACHING),
    "cache_control": _hint(_OBJECT, _CACHING),
    "cache_prompt": _hint(_BOOLEAN, _CACHING),
    "cache_salt": _only(why="It would keep this prompt's cache apart."),
    "service_tier": _hint(_TEXT, _BILLING),
    "inference_geo": _hint(_TEXT, _ELSEWHERE),
    "provider": _hint(_OBJECT, _ELSEWHERE),
    "usage": _hint(_OBJECT, "Usage is always in the answer."),
    "request_id": _hint(_TEXT, "The header X-Request-Id names a request."),
    "session_id": _hint(_TEXT, _WHOSE),
    "trace": _hint(_OBJECT, _WHOSE),
    "litellm_metadata": _hint(_OBJECT, _WHOSE),
    "ttl": _hint(_NUMBER, "How long a model stays loaded is in the configuration."),
    "keep_alive": _hint(_ANY, "How long a model stays loaded is in the configuration."),
    "id_slot": _hint(_NUMBER, _CACHING),
    "timings_per_token": _hint(_BOOLEAN, "Timings are in metrics and traces."),
    "return_progress": _hint(_BOOLEAN, "A stream shows that it lives by comments."),
    "guided_decoding_backend": _hint(_TEXT, "There is one."),
    "prediction": _hint(_OBJECT, "It may make an answer quicker, never another one."),
}

# Sampling that mlxd has not, with the values that switch it off.
_SAMPLERS: Rules = {
    "length_penalty": _only(1),
    "early_stopping": _OFF,
    "use_beam_search": _OFF,
    "num_beams": _only(1),
    "xtc_probability": _only(0),
    "xtc_threshold": _only(0, 0.1),
    "typical_p": _only(1),
    "typical": _only(1),
    "tfs": _only(1),
    "tfs_z": _only(1),
    "top_a": _only(0),
    "epsilon_cutoff": _only(0),
    "eta_cutoff": _only(0),
    "mirostat": _only(0),
    "mirostat_mode": _only(0),
    "mirostat_tau": _hint(_NUMBER, "It matters with mirostat only."),
    "mirostat_eta": _hint(_NUMBER, "It matters with mirostat only."),
    "dry_multiplier": _only(0),
    "dry_base": _hint(_NUMBER, "It matters with dry_multiplier only."),
    "dry_allowed_length": _hint(_NUMBER, "It matters with dry_multiplier only."),
    "dry_penalty_last_n": _hint(_NUMBER, "It matters with dry_multiplier only."),
    "dry_sequence_breakers": _hint(_ANY, "It matters with dry_multiplier only."),
    "dynatemp_range": _only(0),
    "dynatemp_exponent": _hint(_NUMBER, "It matters with dynatemp_range only."),
    "smoothing_factor": _only(0),
    "no_repeat_ngram_size": _only(0),
    "top_n_sigma": _only(-1, 0),
    "repeat_last_n": _only(-1),
    "repetition_context_size": _only(-1),
    "allowed_token_ids": _only([]),
    "bad_words": _only([]),
    "logits_processors": _only([]),
}

_COMMON: Rules = {
    **HINTS,
    **_SAMPLERS,
    "prompt_logprobs": _only(0, False),  # noqa: FBT003
    "truncate_prompt_tokens": _only(-1),
    "detokenize": _only(True),  # noqa: FBT003
    "return_token_ids": _OFF,
    "return_tokens_as_token_ids": _OFF,
    "spaces_between_special_tokens": _hint(_BOOLEAN, "Control tokens are spelled as the vocabulary has them."),
    "guided_whitespace_pattern": _only(),
    "structural_tag": _only(),
    "adapters": _only(),
    "draft_model": _only(),
    "num_draft_tokens": _only(),
    "lora_request": _only(),
    "lora_path": _only(),
    "return_logprob": _OFF,
    "add_bos_token": _only(True),  # noqa: FBT003
    "ban_eos_token": _OFF,
    "n_keep": _only(0),
}

CHAT: Rules = {
    **_COMMON,
    "best_of": _only(1),
    "modalities": _only(["text"]),
    "audio": _only(),
    "verbosity": _only("medium"),
    "web_search_options": _only(),
    "chat_template": _only(),
    "documents": _only([]),
    "mm_processor_kwargs": _only({}),
    "media_io_kwargs": _only({}),
    "transforms": _only([]),
    "plugins": _only([]),
    "reasoning_format": _only("auto", "deepseek"),
    "thinking_forced_open": _OFF,
    "parse_tool_calls": _only(True, why="Calls are told apart where there are tools."),  # noqa: FBT003
    "add_special_tokens": _OFF,
    "echo": _OFF,
}

COMPLETIONS: Rules = {
    **_COMMON,
    "suffix": _only(""),
}

STREAM_OPTIONS: Rules = {
    "include_obfuscation": _only(False, why="It pads chunks against eavesdroppers on the length of tokens."),  # noqa: FBT003
}

NAMED_SCHEMA: Rules = {
    "name": _hint(_TEXT, "It is for people."),
    "description": _hint(_TEXT, "It is for people."),
    "strict": _hint(_BOOLEAN, "Every answer is valid against its schema, also without it."),
}

STRUCTURED_OUTPUTS: Rules = {
    "disable_fallback": _hint(_BOOLEAN, "There is none."),
    "disable_any_whitespace": _OFF,
    "disable_additional_properties": _OFF,
    "whitespace_pattern": _only(),
    "structural_tag": _only(),
}

REASONING: Rules = {"summary": _hint(_TEXT, "Reasoning is shown as it is."), "generate_summary": _hint(_TEXT, "As summary.")}

THINKING: Rules = {
    "clear_thinking": _hint(_BOOLEAN, "Which reasoning of earlier turns is shown to the model is for its template."),
    "keep": _hint(_TEXT, "As clear_thinking."),
    "display": _hint(_TEXT, "Reasoning is shown as it is."),
}

_CARRIED = "Answers carry it, so clients send it back."
_WITHIN = {"cache_control": HINTS["cache_control"]}  # of messages, parts and tools

TEXT_PART: Rules = {**_WITHIN, "annotations": _hint(_ARRAY, _CARRIED), "logprobs": _hint(_ARRAY, _CARRIED), "id": _hint(_TEXT, _CARRIED)}

REASONING_PART: Rules = {
    **_WITHIN,
    "signature": _hint(_TEXT, _CARRIED),
    "closed": _hint(_BOOLEAN, _CARRIED),
    "id": _hint(_TEXT, _CARRIED),
    "providerOptions": _hint(_OBJECT, _CARRIED),
}

_ANSWERS_ONLY = {"tool_calls": _only([]), "function_call": _only(), "refusal": _only(""), "audio": _only()}

# Of system and user.
MESSAGE: Rules = {
    **_WITHIN,
    **_ANSWERS_ONLY,
    "tool_call_id": _only(""),
    "annotations": _only([]),
    "reasoning_content": _only(""),
    "reasoning": _only(""),
}

# Of the assistant.
ANSWERED: Rules = {
    **_WITHIN,
    "audio": _only(),
    "tool_call_id": _only(""),
    "id": _hint(_TEXT, _CARRIED),
    "annotations": _hint(_ARRAY, _CARRIED),
    "provider_specific_fields": _hint(_OBJECT, _CARRIED),
    "extra_content": _hint(_OBJECT, _CARRIED),
    "images": _only([]),
    "parsed": _hint(_ANY, _CARRIED),
    "status": _hint(_TEXT, _CARRIED),
    "reasoning_signature": _hint(_TEXT, _CARRIED),
    "reasoning_opaque": _hint(_TEXT, _CARRIED),
    "encrypted_content": _hint(_TEXT, _CARRIED),
}

# Of a tool.
RESULT: Rules = {
    **_WITHIN,
    **_ANSWERS_ONLY,
    "id": _hint(_TEXT, _CARRIED),
    "status": _hint(_TEXT, "Some client libraries add it to results."),
    "provider_specific_fields": _hint(_OBJECT, "Some client libraries add it to results."),
}

# Of a call that comes back.
CALL: Rules = {
    **_WITHIN,
    "index": _hint(_NUMBER, _CARRIED),
    "provider_specific_fields": _hint(_OBJECT, _CARRIED),
    "extra_content": _hint(_OBJECT, _CARRIED),
    "caller": _hint(_OBJECT, _CARRIED),
}

CALLED_FUNCTION: Rules = {
    "parsed_arguments": _hint(_ANY, _CARRIED),
    "provider_specific_fields": _hint(_OBJECT, _CARRIED),
    "description": _hint(_TEXT, _CARRIED),
}

# Of a tool that may be called.
TOOL: Rules = {
    **_WITHIN,
    "defer_loading": _OFF,
    "eager_input_streaming": _hint(_BOOLEAN, "Arguments stream as they come."),
    "provider_specific_fields": _hint(_OBJECT, "Some client libraries add it to tools."),
}

FUNCTION: Rules = {
    **_WITHIN,
    "response": _hint(_OBJECT, "It describes results, of which no template speaks."),
    "return": _hint(_OBJECT, "It describes results, of which no template speaks."),
    "returns": _hint(_ANY, "It describes results, of which no template speaks."),
    "annotations": _hint(_OBJECT, "It is for people."),
    "title": _hint(_TEXT, "It is for people."),
}


def without_tolerated(body: Mapping[str, Any], rules: Rules) -> tuple[dict[str, Any], str | None]:
    """Returns ``body`` without the fields of ``rules``, and the name of the first of them whose value asks for something, if one does."""
    rest = {name: value for name, value in body.items() if name not in rules}
    asking = (name for name, value in body.items() if name in rules and value is not None and not rules[name].accepts(value))
    return rest, next(asking, None)
