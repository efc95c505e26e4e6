"""``chat_template_kwargs``: variables that a request sets for the model's chat template."""

from typing import Annotated, Any

from pydantic import BeforeValidator

from mlxd.api.fields.free_json import portable
from mlxd.api.fields.validation import problem
from mlxd.errors import excerpt

# What a template gets from the request itself, or from the model.
_RESERVED = {
    "messages": "messages",
    "tools": "tools",
    "add_generation_prompt": "add_generation_prompt",
    "continue_final_message": "continue_final_message",
    "chat_template": "the model's own template",
    "tokenize": "nothing",
    "bos_token": "the model's own token",
    "eos_token": "the model's own token",
    "pad_token": "the model's own token",
    "unk_token": "the model's own token",
}


def _variables(value: object) -> object:
    for name in value if isinstance(value, dict) else ():
        if name in _RESERVED:
            raise problem(f"is not for a request to set; a template gets {_RESERVED[name]}", at=f".{excerpt(name)}")
    return portable(value)


TemplateVariables = Annotated[dict[str, Any], BeforeValidator(_variables)]
