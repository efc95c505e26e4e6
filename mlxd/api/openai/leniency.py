"""What is tolerated of OpenAI's API, and of its descendants: fields that mlxd knows and does nothing with.

``docs/compatibility.md`` is made from these tables; how they are read is in ``api/fields/tolerance.py``.
"""

from mlxd.api.fields.hints import HINTS, SAMPLERS
from mlxd.api.fields.tolerance import ANY, ARRAY, BOOLEAN, NUMBER, OBJECT, OFF, TEXT, Rules, hint, only

_COMMON: Rules = {
    **HINTS,
    **SAMPLERS,
    "prompt_logprobs": only(0, False),  # noqa: FBT003
    "truncate_prompt_tokens": only(-1),
    "detokenize": only(True),  # noqa: FBT003
    "return_token_ids": OFF,
    "return_tokens_as_token_ids": OFF,
    "spaces_between_special_tokens": hint(BOOLEAN, "Control tokens are spelled as the vocabulary has them."),
    "guided_whitespace_pattern": only(),
    "structural_tag": only(),
    "adapters": only(),
    "draft_model": only(),
    "num_draft_tokens": only(),
    "lora_request": only(),
    "lora_path": only(),
    "return_logprob": OFF,
    "add_bos_token": only(True),  # noqa: FBT003
    "ban_eos_token": OFF,
    "n_keep": only(0),
}

CHAT: Rules = {
    **{name: rule for name, rule in _COMMON.items() if name != "prediction"},  # that one is a field of its own
    "best_of": only(1),
    "modalities": only(["text"]),
    "audio": only(),
    "verbosity": only("medium"),
    "web_search_options": only(),
    "chat_template": only(),
    "documents": only([]),
    "mm_processor_kwargs": only({}),
    "media_io_kwargs": only({}),
    "transforms": only([]),
    "plugins": only([]),
    "reasoning_format": only("auto", "deepseek"),
    "thinking_forced_open": OFF,
    "parse_tool_calls": only(True, why="Calls are told apart where there are tools."),  # noqa: FBT003
    "add_special_tokens": OFF,
    "echo": OFF,
}

COMPLETIONS: Rules = {
    **_COMMON,
    "suffix": only(""),
}

STREAM_OPTIONS: Rules = {
    "include_obfuscation": only(False, why="It pads chunks against eavesdroppers on the length of tokens."),  # noqa: FBT003
}

NAMED_SCHEMA: Rules = {
    "name": hint(TEXT, "It is for people."),
    "description": hint(TEXT, "It is for people."),
    "strict": hint(BOOLEAN, "Every answer is valid against its schema, also without it."),
}

STRUCTURED_OUTPUTS: Rules = {
    "disable_fallback": hint(BOOLEAN, "There is none."),
    "disable_any_whitespace": OFF,
    "disable_additional_properties": OFF,
    "whitespace_pattern": only(),
    "structural_tag": only(),
}

REASONING: Rules = {"summary": hint(TEXT, "Reasoning is shown as it is."), "generate_summary": hint(TEXT, "As summary.")}

THINKING: Rules = {
    "clear_thinking": hint(BOOLEAN, "Which reasoning of earlier turns is shown to the model is for its template."),
    "keep": hint(TEXT, "As clear_thinking."),
    "display": hint(TEXT, "Reasoning is shown as it is."),
}

_CARRIED = "Answers carry it, so clients send it back."
_WITHIN = {name: HINTS[name] for name in ("cache_control", "prompt_cache_breakpoint")}  # of messages, parts and tools

TEXT_PART: Rules = {**_WITHIN, "annotations": hint(ARRAY, _CARRIED), "logprobs": hint(ARRAY, _CARRIED), "id": hint(TEXT, _CARRIED)}

REASONING_PART: Rules = {
    **_WITHIN,
    "signature": hint(TEXT, _CARRIED),
    "closed": hint(BOOLEAN, _CARRIED),
    "id": hint(TEXT, _CARRIED),
    "providerOptions": hint(OBJECT, _CARRIED),
}

_ANSWERS_ONLY = {"tool_calls": only([]), "function_call": only(), "refusal": only(""), "audio": only()}

# Of system and user.
MESSAGE: Rules = {
    **_WITHIN,
    **_ANSWERS_ONLY,
    "tool_call_id": only(""),
    "annotations": only([]),
    "reasoning_content": only(""),
    "reasoning": only(""),
}

# Of the assistant.
ANSWERED: Rules = {
    **_WITHIN,
    "audio": only(),
    "tool_call_id": only(""),
    "id": hint(TEXT, _CARRIED),
    "annotations": hint(ARRAY, _CARRIED),
    "provider_specific_fields": hint(OBJECT, _CARRIED),
    "extra_content": hint(OBJECT, _CARRIED),
    "images": only([]),
    "parsed": hint(ANY, _CARRIED),
    "status": hint(TEXT, _CARRIED),
    "reasoning_signature": hint(TEXT, _CARRIED),
    "reasoning_opaque": hint(TEXT, _CARRIED),
    "encrypted_content": hint(TEXT, _CARRIED),
}

# Of a tool.
RESULT: Rules = {
    **_WITHIN,
    **_ANSWERS_ONLY,
    "id": hint(TEXT, _CARRIED),
    "status": hint(TEXT, "Some client libraries add it to results."),
    "provider_specific_fields": hint(OBJECT, "Some client libraries add it to results."),
}

# Of a call that comes back.
CALL: Rules = {
    **_WITHIN,
    "index": hint(NUMBER, _CARRIED),
    "provider_specific_fields": hint(OBJECT, _CARRIED),
    "extra_content": hint(OBJECT, _CARRIED),
    "caller": hint(OBJECT, _CARRIED),
}

CALLED_FUNCTION: Rules = {
    "parsed_arguments": hint(ANY, _CARRIED),
    "provider_specific_fields": hint(OBJECT, _CARRIED),
    "description": hint(TEXT, _CARRIED),
}

# Of a tool that may be called.
TOOL: Rules = {
    **_WITHIN,
    "defer_loading": OFF,
    "eager_input_streaming": hint(BOOLEAN, "Arguments stream as they come."),
    "provider_specific_fields": hint(OBJECT, "Some client libraries add it to tools."),
}

FUNCTION: Rules = {
    **_WITHIN,
    "response": hint(OBJECT, "It describes results, of which no template speaks."),
    "return": hint(OBJECT, "It describes results, of which no template speaks."),
    "returns": hint(ANY, "It describes results, of which no template speaks."),
    "annotations": hint(OBJECT, "It is for people."),
    "title": hint(TEXT, "It is for people."),
}
