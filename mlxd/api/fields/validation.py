"""pydantic's findings as one sentence for the client, in JSON's words, naming the field as the client wrote it."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from mlxd.api.fields.pruning import Location, without
from mlxd.api.fields.tolerance import Rules, without_tolerated
from mlxd.config.values import UnknownFields
from mlxd.errors import InvalidRequestError, UnknownParameterError, UnsupportedParameterError, excerpt
from mlxd.listener.json_text import json_type

log = structlog.get_logger(__name__)

MOST_TOLD = 20  # names of fields that were ignored

_UNKNOWN_ITEM = "mlxd_unknown"
_UNKNOWN = frozenset({"extra_forbidden", _UNKNOWN_ITEM})  # what ``server.unknown_fields`` is about

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
    "too_short": "must not be empty",
    "too_long": "may have at most {max_length} items, not {actual_length}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
}

_SAYS_IT_ALL = frozenset({"missing", "string_too_short", "too_short", "too_long"})  # what was found instead is told, or nothing


class Strict(BaseModel):
    """The base of request bodies, and of objects in them, which coerces nothing and takes no field but its own and ``tolerated`` ones."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    tolerated: ClassVar[Rules] = {}

    @model_validator(mode="before")
    @classmethod
    def _tolerate(cls, value: object) -> object:
        return tolerant(value, cls.tolerated)


def tolerant(value: object, rules: Rules) -> object:
    """Returns an object without the fields that ask for nothing; anything else as it is. To be raised by validators: a problem that names
    a field whose value asks for something.
    """
    if not isinstance(value, dict):
        return value
    rest, asking = without_tolerated(value, rules)
    if asking is not None:
        rule = rules[asking]
        also = f", or set it to {rule.values}" if rule.values else ""
        why = f". {rule.why}" if rule.why else ""
        raise problem(f"is not supported yet with this value; leave it out{also}{why}", at=f".{asking}", error=UnsupportedParameterError)
    return rest


M = TypeVar("M", bound=Strict)


def validated(kind: type[M], body: Mapping[str, Any]) -> M:
    """Returns the body as a ``kind``. Raises ``InvalidRequestError`` with one problem."""
    try:
        return kind.model_validate(body)
    except ValidationError as found:
        problems = found.errors(include_url=False)
    # A misspelt field is often why another one is missing: it explains more.
    first = next((one for one in problems if one["type"] in _UNKNOWN), problems[0])
    raise _explained(first, kind)


def lenient(kind: type[M], body: Mapping[str, Any], unknown: UnknownFields) -> tuple[M, list[str]]:
    """Returns the body as a ``kind``, and which of its fields no API has, where these are to be ignored: all, or those of such names.
    Raises as ``validated`` does.
    """
    found = [] if unknown == "refuse" else [where for where, name in _unknown(kind, body) if unknown == "ignore" or name in unknown]
    if found:
        log.warning("unknown_fields_ignored", fields=[excerpt(field_path(location)) for location in found[:MOST_TOLD]])
    return validated(kind, without(body, found)), [excerpt(field_path(location)) for location in found[:MOST_TOLD]]


def _unknown(kind: type[M], body: Mapping[str, Any]) -> list[tuple[Location, str]]:
    """Returns where there is what no API has, and what it is called: a field by its name, an item by its type."""
    try:
        kind.model_validate(body)
    except ValidationError as found:
        unknown = [one for one in found.errors(include_url=False) if one["type"] in _UNKNOWN]
        return [(one["loc"], one.get("ctx", {}).get("name", str(one["loc"][-1]))) for one in unknown]
    return []


def problem(message: str, *, at: str = "", error: type[InvalidRequestError] = InvalidRequestError) -> PydanticCustomError:
    """Returns an error for validators of ours to raise. ``message`` goes on after the field's name; ``at`` leads on from the field:
    ``"[1].type"``.
    """
    return PydanticCustomError("mlxd", "{message}", {"message": message, "at": at, "error": error})


def unknown_item(name: str, message: str, *, at: str = "") -> PydanticCustomError:
    """Returns as ``problem`` an error of something that no API has, such as a block of a type that nobody knows: it is refused, or left
    out, as an unknown field of this name is.
    """
    context = {"message": message, "at": at, "error": UnknownParameterError, "name": name}
    return PydanticCustomError(_UNKNOWN_ITEM, "{message}", context)


def whole(value: object) -> object:
    """Makes a whole number of one that is written as a float: JSON has one kind of number, and some clients write 8 as 8.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def nothing_if_empty(value: object) -> object:
    """Makes null of ``""`` and ``{}``, as forms send them where nothing was chosen."""
    return None if value in ("", {}) else value


def quoted(value: object) -> str:
    """Returns a value as a refusal shows it: a string, or the type of anything else."""
    return f'"{excerpt(value)}"' if isinstance(value, str) else json_type(value)


def at_most(most: int) -> Callable[[object], object]:
    """Returns a validator that raises a problem for a list of more items, before any of them is looked at."""

    def few_enough(value: object) -> object:
        if isinstance(value, list) and len(value) > most:
            raise problem(f"may have at most {most} items, not {len(value)}")
        return value

    return few_enough


def read_by_role(value: Mapping[str, Any], kinds: Mapping[str, type[M]]) -> M:
    """Reads a message as the kind that its role has, for a validator."""
    if "role" not in value:
        raise problem("is required", at=".role")
    role = value["role"]
    kind = kinds.get(role) if isinstance(role, str) else None
    if kind is None:
        roles = ", ".join(f'"{known}"' for known in kinds)
        raise problem(f"must be one of {roles}, not {quoted(role)}", at=".role")
    return kind.model_validate(value)


def field_path(location: Sequence[str | int]) -> str:
    """Writes ``("messages", 2, "role")`` as ``messages[2].role``."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _explained(found: ErrorDetails, kind: type[Strict]) -> InvalidRequestError:
    path, context = field_path(found["loc"]), found.get("ctx", {})
    if found["type"] in ("mlxd", _UNKNOWN_ITEM):
        path = (path + context["at"]).removeprefix(".")
        refusal: type[InvalidRequestError] = context["error"]
        return refusal(f"{path} {context['message']}", param=path)
    if found["type"] == "extra_forbidden":
        hint = _suggestion(path, kind) if len(found["loc"]) == 1 else ""  # of a field below another one, no name of ours comes near
        return UnknownParameterError(f"unknown field {excerpt(path)}{hint}", param=path)
    words, bounds = _WORDS.get(found["type"]), {name: _bound(value) for name, value in context.items()}
    said = words.format(**bounds) if words else found["msg"].replace("Input should be", "must be")
    got = "" if found["type"] in _SAYS_IT_ALL else f", not {_shown(found['input'])}"
    return InvalidRequestError(f"{path} {said}{got}", param=path)


def _suggestion(path: str, kind: type[Strict]) -> str:
    name = excerpt(path).lower()
    known: Iterable[Iterable[str]] = (kind.model_fields, kind.tolerated)
    near = next((found for names in known if (found := get_close_matches(name, names))), [])
    return f"; did you mean {max(near, key=lambda one: _common(one, name))}?" if near else ""


def _common(one: str, other: str) -> int:
    """Returns how many characters both begin with."""
    return next((at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other)))


def _bound(value: object) -> object:
    """Returns a limit as one can write it: not as 2.14748e+09, nor as 2.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "an array"
    cut = excerpt(value) if isinstance(value, str) else value
    return excerpt(json.dumps(cut, ensure_ascii=False, default=repr))
