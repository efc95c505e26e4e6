"""pydantic's findings as one sentence for the client, in JSON's words, naming the field as the client wrote it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from mlxd.errors import InvalidRequestError, UnknownParameterError, excerpt

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
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
}


class Strict(BaseModel):
    """The base of request bodies, which coerces nothing and takes no unknown field."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


M = TypeVar("M", bound=BaseModel)


def validated(kind: type[M], body: Mapping[str, Any], also_known: Iterable[str] = ()) -> M:
    """Returns the body as a ``kind``. Raises ``InvalidRequestError`` with one problem; ``also_known`` are names to suggest beside the
    fields of ``kind``.
    """
    try:
        return kind.model_validate(dict(body))
    except ValidationError as found:
        problems = found.errors(include_url=False)
    # A misspelt field is often why another one is missing: it explains more.
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    raise _explained(problem, kind.model_fields, also_known)


def problem(message: str, *, at: str = "", error: type[InvalidRequestError] = InvalidRequestError) -> PydanticCustomError:
    """Returns an error for validators of ours to raise. ``message`` goes on after the field's name; ``at`` leads on from the field:
    ``"[1].type"``.
    """
    return PydanticCustomError("mlxd", "{message}", {"message": message, "at": at, "error": error})


def whole(value: object) -> object:
    """Makes a whole number of one that is written as a float: JSON has one kind of number, and some clients write 8 as 8.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def field_path(location: Sequence[str | int]) -> str:
    """Writes ``("messages", 2, "role")`` as ``messages[2].role``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _explained(found: ErrorDetails, known: Iterable[str], also_known: Iterable[str]) -> InvalidRequestError:
    path, context = field_path(found["loc"]), found.get("ctx", {})
    if found["type"] == "mlxd":
        path += context["at"]
        refusal: type[InvalidRequestError] = context["error"]
        return refusal(f"{path} {context['message']}", param=path)
    if found["type"] == "extra_forbidden":
        name = excerpt(path).lower()  # of a field below another one, no name of ours comes near
        near = get_close_matches(name, known, n=1) or get_close_matches(name, also_known, n=1)
        hint = f"; did you mean {near[0]}?" if near and len(found["loc"]) == 1 else ""
        return UnknownParameterError(f"unknown field {excerpt(path)}{hint}", param=path)
    words, bounds = _WORDS.get(found["type"]), {name: _bound(value) for name, value in context.items()}
    said = words.format(**bounds) if words else found["msg"].replace("Input should be", "must be")
    got = "" if found["type"] in ("missing", "string_too_short") else f", not {_shown(found['input'])}"
    return InvalidRequestError(f"{path} {said}{got}", param=path)


def _bound(value: object) -> object:
    """Returns a limit as one can write it: not as 2.14748e+09, nor as 2.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    cut = excerpt(value) if isinstance(value, str) else value
    return excerpt(json.dumps(cut, ensure_ascii=False, default=repr))
