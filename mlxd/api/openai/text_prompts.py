"""``prompt`` of a text completion, in each of its forms: a text, token ids, or several of these."""

from mlxd.api.fields.validation import problem
from mlxd.listener.json_text import json_type
from mlxd.wire.prompts import TextPrompt, TokenPrompt

MOST_PROMPTS = 2048
_LARGEST_ID = 2**31 - 1

AnyPrompt = str | list[str] | list[int] | list[list[int]]  # as JSON has it


def read_prompts(value: object) -> list[TextPrompt | TokenPrompt]:
    """Returns the prompts. To be raised by validators: what is wrong with one, by its place."""
    if not isinstance(value, str | list):
        raise problem(f"must be a string, an array of token ids, or an array of these, not {json_type(value)}")
    if isinstance(value, str) or not value or not isinstance(value[0], str | list):
        return [_prompt(value, "")]
    if len(value) > MOST_PROMPTS:
        raise problem(f"may have at most {MOST_PROMPTS} prompts, not {len(value)}")
    return [_prompt(one, f"[{index}]") for index, one in enumerate(value)]


def _prompt(value: object, at: str) -> TextPrompt | TokenPrompt:
    if value in ([], ""):
        raise problem("must not be empty", at=at)
    if isinstance(value, str):
        return TextPrompt(text=value)
    if not isinstance(value, list):
        raise problem(f"must be a string or an array of token ids, not {json_type(value)}", at=at)
    for index, token in enumerate(value):
        if type(token) is not int or not 0 <= token <= _LARGEST_ID:
            raise problem("must be a token id: an integer, 0 or above", at=f"{at}[{index}]")
    return TokenPrompt(token_ids=value)
