"""What is tolerated of Anthropic's API: fields that mlxd knows and does nothing with.

``docs/compatibility.md`` is made from these tables; how they are read is in ``api/fields/tolerance.py``.
"""

from mlxd.api.fields.hints import HINTS, SAMPLERS
from mlxd.api.fields.tolerance import ANY, ARRAY, BOOLEAN, OBJECT, TEXT, Rules, hint, only

_CARRIED = "Answers carry it, so clients send it back."
_WITHIN = {"cache_control": HINTS["cache_control"]}  # of blocks and tools

MESSAGES: Rules = {
    **HINTS,
    **SAMPLERS,
    "context_management": hint(OBJECT, "The model is shown the whole conversation; nothing of it is taken out."),
    "compaction": hint(OBJECT, "As context_management."),
    "speed": hint(TEXT, "It is about a provider's prices."),
    "billing_policy": hint(OBJECT, "It is about a provider's prices."),
    "fallbacks": hint(ANY, "Another model answers where an alias says so."),
    "fallback_credit_token": hint(TEXT, "It is about a provider's prices."),
    "diagnostics": hint(OBJECT, "The header x-mlxd-cache and usage tell what the cache gave."),
    "user_profile_id": hint(TEXT, "It is about whose request it is."),
    "workspace_id": hint(TEXT, "It is about whose request it is."),
    "anthropic_version": hint(TEXT, "There is one version."),
    "anthropic_beta": hint(ANY, "What a beta adds is there, or is refused by its own field."),
    "betas": hint(ARRAY, "As anthropic_beta."),
    "thread": only(),
    "container": only(),
    "mcp_servers": only([]),
}

OUTPUT_CONFIG: Rules = {"task_budget": hint(OBJECT, "max_tokens and thinking.budget_tokens limit an answer.")}

THINKING: Rules = {
    "keep": hint(ANY, "Which reasoning of earlier turns is shown to the model is for its template."),
    "block_binding": hint(OBJECT, "Signatures are not looked at."),
}

# Of a message that comes back whole.
TURN: Rules = {
    **_WITHIN,
    "id": hint(TEXT, _CARRIED),
    "type": only("message", why=_CARRIED),
    "model": hint(TEXT, _CARRIED),
    "stop_reason": hint(TEXT, _CARRIED),
    "stop_sequence": hint(TEXT, _CARRIED),
    "stop_details": hint(OBJECT, _CARRIED),
    "usage": hint(OBJECT, _CARRIED),
    "container": hint(OBJECT, _CARRIED),
    "context_management": hint(OBJECT, _CARRIED),
    "diagnostics": hint(OBJECT, _CARRIED),
    "warnings": hint(ARRAY, _CARRIED),
}

BLOCK: Rules = {
    **_WITHIN,
    "citations": hint(ANY, "No answer cites."),
    "caller": hint(OBJECT, _CARRIED),
    "toolset_name": hint(TEXT, _CARRIED),
    "parsed_output": hint(ANY, _CARRIED),
}

IMAGE: Rules = {
    **BLOCK,
    "transformations": only({}, {"oversized_image": "downsize"}, why="What is larger than the model takes is made smaller."),
}

TOOL: Rules = {
    **_WITHIN,
    "eager_input_streaming": hint(BOOLEAN, "Input streams as it comes."),
    "allowed_callers": hint(ARRAY, "Nothing but the model calls."),
}
