"""pydantic's findings as one sentence for the client, in JSON's words, naming the field as the client wrote it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from mlxd.errors import InvalidRequestError

_SHOWN = 40  # characters of what the client sent, repeated in a message

# pydantic speaks of Python; these are JSON's names, by the type of the error.
_WORDS = {
    "missing": "is required",
    "float_type": "must be a number",
    "int_type": "must be an integer",
    "int_from_float": "must be an integer",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
    "list_type": "must be an array",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "string_too_short": "must not be empty",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
}


class Strict(BaseModel):
    """Base of request bodies: no coercion, no unknown field."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


M = TypeVar("M", bound=BaseModel)


def validated(kind: type[M], body: Mapping[str, Any], also_known: Iterable[str] = ()) -> M:
    """Raises ``InvalidRequestError`` with one problem. ``also_known``: names to suggest beside the fields of ``kind``."""
    try:
        return kind.model_validate(dict(body))
    except ValidationError as found:
        problems = found.errors(include_url=False)
    # A misspelt field is often why another one is missing: it explains more.
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    raise _explained(problem, kind.model_fields, also_known)


def problem(message: str, *, at: str = "") -> PydanticCustomError:
    """For validators of ours. ``message`` goes on after the field's name; ``at`` leads on from the field: ``"[1].type"``."""
    return PydanticCustomError("mlxd", "{message}", {"message": message, "at": at})


def field_path(location: Sequence[str | int]) -> str:
    """``("messages", 2, "role")`` to ``messages[2].role``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _explained(found: ErrorDetails, known: Iterable[str], also_known: Iterable[str]) -> InvalidRequestError:
    path, context = field_path(found["loc"]), found.get("ctx", {})
    if found["type"] == "mlxd":
        path += context["at"]
        return InvalidRequestError(f"{path} {context['message']}", param=path)
    if found["type"] == "extra_forbidden":
        name = path.lower()
        near = get_close_matches(name, known, n=1) or get_close_matches(name, also_known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return InvalidRequestError(f"unknown field {path[:_SHOWN]}{hint}", param=path[:_SHOWN])
    words = _WORDS.get(found["type"])
    said = words.format(**context) if words else found["msg"].replace("Input should be", "must be")
    got = "" if found["type"] in ("missing", "string_too_short") else f", not {_shown(found['input'])}"
    return InvalidRequestError(f"{path} {said}{got}", param=path)


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
