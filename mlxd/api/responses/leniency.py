"""What is tolerated of the Responses API: fields that mlxd knows and does nothing with.

``docs/compatibility.md`` is made from these tables; how they are read is in ``api/fields/tolerance.py``.
"""

from mlxd.api.fields.hints import HINTS, SAMPLERS
from mlxd.api.fields.tolerance import ARRAY, BOOLEAN, OBJECT, OFF, TEXT, Rules, hint, only

_STATELESS = "Nothing is stored: send the whole conversation as input."
_CARRIED_OUT = ("user", "metadata", "safety_identifier", "prompt_cache_key", "store", "service_tier")  # answers repeat them

RESPONSES: Rules = {
    **{name: rule for name, rule in HINTS.items() if name not in _CARRIED_OUT},
    **SAMPLERS,
    "background": only(False, why="Nothing is stored that could be asked for later."),  # noqa: FBT003
    "previous_response_id": only("", why=_STATELESS),
    "conversation": only(why=_STATELESS),
    "prompt": only(why="No prompts are stored."),
    "truncation": only(
        "disabled", "auto", why="A conversation that does not fit is refused with either: its client knows best what to leave out."
    ),
    "moderation": only(),
    "background_options": hint(OBJECT, "It is about answers in the background."),
    "context_management": hint(ARRAY, "Nothing is compacted; a conversation that does not fit is refused."),
    "client_metadata": hint(OBJECT, "It is about whose request it is."),
    "access_programs": hint(OBJECT, "It is about whose request it is."),
    "image": hint(OBJECT, "No images are made."),
    "n": only(1),
    "logprobs": OFF,
}

STREAM_OPTIONS: Rules = {
    "include_obfuscation": only(False, why="It pads events against eavesdroppers on the length of tokens."),  # noqa: FBT003
    "include_usage": hint(BOOLEAN, "The last event always says what was used."),
    "reasoning_summary_delivery": hint(TEXT, "Reasoning streams as it comes."),
}

REASONING: Rules = {
    "context": hint(TEXT, "Which reasoning of earlier turns is shown to the model is for its template."),
    "mode": hint(TEXT, "There is one."),
}

FORMAT: Rules = {
    "name": hint(TEXT, "It is for people."),
    "description": hint(TEXT, "It is for people."),
    "strict": hint(BOOLEAN, "Every answer is valid against its schema, also without it."),
}

_ANY_TOOL: Rules = {
    "allowed_callers": hint(ARRAY, "Calls are made by the model directly."),
    "async": hint(BOOLEAN, "When a result is given is for the client."),
    "defer_loading": hint(BOOLEAN, "Every function is offered at once."),
    "cache_control": HINTS["cache_control"],
}

FUNCTION: Rules = {
    **_ANY_TOOL,
    "output_schema": hint(OBJECT, "It describes results, of which no template speaks."),
    "eager_input_streaming": hint(BOOLEAN, "Arguments stream as they come."),
    "annotations": hint(OBJECT, "It is for people."),
    "title": hint(TEXT, "It is for people."),
    "provider_specific_fields": hint(OBJECT, "Some client libraries add it to tools."),
}

CUSTOM: Rules = _ANY_TOOL

SEARCH: Rules = {"title": hint(TEXT, "It is for people.")}

NAMESPACE: Rules = {"defer_loading": _ANY_TOOL["defer_loading"], "title": hint(TEXT, "It is for people.")}
