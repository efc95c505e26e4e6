"""JSON Schema as clients write it, to what a grammar can enforce: what asks nothing is left out, what cannot be enforced is refused, and
every reference leads to a definition.

The result may ask for more than the client did, so that whatever is valid against it is valid for the client too: an object has the
properties that are listed, unless others are asked for, and a schema that speaks of properties means an object.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlxd.worker.text.constraints import keywords
from mlxd.worker.text.constraints.disjoint import Disjointness
from mlxd.worker.text.constraints.numbers import ANY_NUMBER, bounds_of, can_stand_together, is_kept, numeric
from mlxd.worker.text.constraints.patterns import portable
from mlxd.worker.text.constraints.pointers import NowhereError, Place, found_at, steps_of

_DEEPEST = 50  # schemas inside schemas; a library allows 128 levels of JSON
_MOST_SCHEMAS = 5_000
_MOST_VALUES = 20_000  # of all "enum", items of arrays and members of objects counted
_MOST_REFERENCES = 500  # different ones
_MOST_OPTIONAL = 500  # properties of one object: each may follow each
_MOST_ITEMS = 100_000  # that an array must have
_MOST_COUNTED = 2**31 - 1  # of anything that may be there: more fits no answer
_MOST_REQUIRED = 2_000  # properties of one object
_OLD_DRAFTS = ("draft-03", "draft-04", "draft-05", "draft-06", "draft-07")


# Any JSON that can be read.
ANYTHING = "#/$defs/any"
_ANYTHING = {
    "any": {
        "type": ["object", "array", "string", "number", "boolean", "null"],
        **ANY_NUMBER,
        "items": {"$ref": ANYTHING},
        "additionalProperties": {"$ref": ANYTHING},
    }
}
ANY_OBJECT = {"type": "object", "additionalProperties": {"$ref": ANYTHING}, "$defs": _ANYTHING}


@dataclass(frozen=True)
class ReadSchema:
    """A schema that can be enforced. ``definitions`` are what "$ref": "#/$defs/NAME" in it leads to. ``parts`` are all schemas in it, the
    inner ones first, with their places in the request.
    """

    schema: dict[str, Any] | bool
    definitions: Mapping[str, dict[str, Any] | bool] = field(default_factory=dict)
    parts: Sequence[tuple[Place, dict[str, Any] | bool]] = ()

    def standing_alone(self, schema: Any = None) -> dict[str, Any]:
        """Returns the schema, or another that refers to the same definitions, with these in it."""
        own = self.schema if schema is None else schema
        return {**(own if isinstance(own, dict) else {"enum": []}), "$defs": {**self.definitions, **_ANYTHING}}


@dataclass(frozen=True)
class _At:
    """Where the reader is. What another schema beside it adds to is ``is_open``: it must not be closed to others' properties."""

    place: Place
    depth: int = 0
    is_open: bool = False

    def inside(self, *steps: str | int) -> "_At":
        place = self.place
        for step in steps:
            place = place / step
        return _At(place, self.depth + 1, self.is_open)

    def opened(self, is_open: bool) -> "_At":  # noqa: FBT001
        return _At(self.place, self.depth, self.is_open or is_open)


class SchemaReader:
    """A reader of one schema of a request. One that ``is_lenient`` leaves out what cannot be enforced, instead of refusing it."""

    def __init__(self, document: Any, place: Place, *, is_lenient: bool = False) -> None:
        self._document = document
        self._root = place
        self._is_lenient = is_lenient
        self._is_old = isinstance(document, dict) and any(draft in str(document.get("$schema")) for draft in _OLD_DRAFTS)
        self._disjoint = Disjointness(self._target)
        self._names: dict[tuple[tuple[str, ...], bool], str] = {}  # of definitions, by where they stand and whether they are open
        self._parts: list[tuple[Place, dict[str, Any] | bool]] = []
        self._values = 0
        self._divisors: set[float] = set()  # that may meet in one number

    def read(self) -> ReadSchema:
        """Returns the schema. Raises ``InvalidRequestError`` that points into it."""
        schema = self._read(self._document, _At(self._root))
        definitions: dict[str, dict[str, Any] | bool] = {}
        while len(definitions) < len(self._names):
            for (steps, is_open), name in list(self._names.items())[len(definitions) :]:
                place = Place(self._root.field, (*self._root.steps, *steps))
                definitions[name] = self._read(found_at(self._document, steps), _At(place, is_open=is_open))
        return ReadSchema(schema, definitions, self._parts)

    # ---- one schema ----

    def _read(self, schema: Any, at: _At) -> dict[str, Any] | bool:
        place = at.place
        self._check(schema, at)
        if schema is False:
            return False
        given = {} if schema is True else {key: value for key, value in schema.items() if value is not None or key == "const"}
        self._refuse(given, place)
        result: dict[str, Any] = {}
        if "$ref" in given:
            result["$ref"] = self._reference(given["$ref"], at.inside("$ref").opened(not self._is_old and _says_more(given, "$ref")))
        if not given.keys() & keywords.ASKING and "type" not in given:
            result["$ref"] = ANYTHING
        elif "$ref" not in given or not self._is_old:  # there, it stood alone
            result |= self._type(given, place)
            result |= dict(self._values_of(given, place))
            result |= dict(self._plain(given, place))
            result |= dict(self._inner(given, at))
            self._settle(result, at)
        if given.get("nullable") is True:  # OpenAPI 3.0
            result = {"anyOf": [result, {"type": "null"}]}
        self._parts.append((place, result))
        return result

    def _check(self, schema: Any, at: _At) -> None:
        if not isinstance(schema, dict | bool):
            raise at.place.refusal("a schema is an object, true or false")
        if at.depth > _DEEPEST:
            raise at.place.refusal(f"schemas lie more than {_DEEPEST} deep inside one another; use $ref and $defs")
        if len(self._parts) >= _MOST_SCHEMAS:
            raise self._root.refusal(f"it is made of more than {_MOST_SCHEMAS} schemas")

    def _refuse(self, given: Mapping[str, Any], place: Place) -> None:
        if self._is_lenient:
            return
        for key, asks_nothing in keywords.REFUSED.items():
            if key in given and not asks_nothing(given[key], given):
                raise (place / key).refusal(f'"{key}" cannot be enforced')

    def _type(self, given: Mapping[str, Any], place: Place) -> dict[str, Any]:
        types = given.get("type", _implied(given))
        if types is None:
            return {}
        for one in types if isinstance(types, list) else [types]:
            if one not in keywords.TYPES:
                raise (place / "type").refusal(f"{one!r} is no type; there are {', '.join(keywords.TYPES)}")
        if types == []:
            raise (place / "type").refusal("nothing has none of the types")
        return {"type": types}

    def _values_of(self, given: Mapping[str, Any], place: Place) -> Iterator[tuple[str, Any]]:
        if "const" in given:
            self._count(given["const"], place / "const")
            yield "const", given["const"]
        if "enum" in given:
            if not isinstance(given["enum"], list) or not given["enum"]:
                raise (place / "enum").refusal("it must be a list of values, one at least")
            self._count(given["enum"], place / "enum")
            yield "enum", given["enum"]

    def _count(self, value: Any, place: Place, depth: int = 0) -> None:
        """Counts the values in a value, and refuses those that cannot be written."""
        self._values += 1
        if self._values > _MOST_VALUES or depth > _DEEPEST:
            raise place.refusal(f"there are more than {_MOST_VALUES} values, or they lie more than {_DEEPEST} deep in one another")
        if isinstance(value, dict | list):
            for step, one in value.items() if isinstance(value, dict) else enumerate(value):
                self._count(one, place / step, depth + 1)
        elif isinstance(value, int | float) and not isinstance(value, bool) and not is_kept(value):
            raise place.refusal("it is beyond the numbers that can be told apart: 2**53, or 15 digits")

    # ---- keywords that hold no schema ----

    def _plain(self, given: Mapping[str, Any], place: Place) -> Iterator[tuple[str, Any]]:
        for key in keywords.SIZES:
            if key in given:
                yield key, _size(given[key], key, place)
        yield from numeric(given, place).items()
        if "pattern" in given:
            yield "pattern", portable(given["pattern"], place / "pattern")
        yield from _format(given)
        if "required" in given and not (self._is_lenient and isinstance(given["required"], bool)):
            yield "required", _names(given["required"], place / "required")

    # ---- keywords that hold schemas ----

    def _inner(self, given: Mapping[str, Any], at: _At) -> Iterator[tuple[str, Any]]:
        given = _as_2020(given)
        for key in keywords.ONE_SCHEMA:
            if key in given:
                yield key, self._read(given[key], at.inside(key))
        for key in keywords.NAMED_SCHEMAS:
            if key in given:
                yield key, self._named(given[key], at.inside(key))
        for key in keywords.SCHEMAS:
            if key in given:
                several = self._listed(given[key], at.place / key)
                is_open = key != "prefixItems" and (_says_more(given, key) or (key == "allOf" and len(several) > 1))
                read = self._several(several, at.inside(key).opened(is_open))
                yield ("anyOf" if key == "oneOf" and self._excludes(given, at.place) else key), read

    def _named(self, named: Any, at: _At) -> dict[str, Any]:
        if not isinstance(named, dict):
            raise at.place.refusal("it must be an object of schemas")
        are_patterns = at.place.steps[-1:] == ("patternProperties",)
        return {
            portable(name, at.place / name) if are_patterns else name: self._read(schema, _At(at.place / name, at.depth, at.is_open))
            for name, schema in named.items()
        }

    def _listed(self, several: Any, place: Place) -> list[Any]:
        if not isinstance(several, list) or not several:
            raise place.refusal("it must be a list of schemas, one at least")
        return several

    def _several(self, several: list[Any], at: _At) -> list[Any]:
        return [self._read(schema, _At(at.place / index, at.depth, at.is_open)) for index, schema in enumerate(several)]

    def _excludes(self, given: Mapping[str, Any], place: Place) -> bool:
        """Tells whether no value is valid against two schemas of "oneOf", which is "anyOf" then. Raises where that cannot be shown."""
        if not self._is_lenient and not self._disjoint.all_of(given["oneOf"]):
            raise (place / "oneOf").refusal("it cannot be shown that no value fits two of its schemas; use anyOf")
        return "anyOf" not in given

    def _settle(self, result: dict[str, Any], at: _At) -> None:
        """Closes an object that lists its properties, and checks what only the whole schema tells."""
        properties, required = result.get("properties"), result.get("required", [])
        combined = result.keys() & {"$ref", "allOf", "anyOf", "oneOf", "patternProperties", "additionalProperties"}
        if properties is not None and not combined and not at.is_open and set(required) <= properties.keys():
            result["additionalProperties"] = False
        _bound_types(result, is_open=at.is_open)
        if "multipleOf" in result and (combined or at.is_open):
            self._divisors.add(result["multipleOf"])
            if not can_stand_together(self._divisors):
                raise (at.place / "multipleOf").refusal("the common multiples of several numbers are too great to be enforced")
        if properties and len(properties) - len(required) > _MOST_OPTIONAL:
            raise (at.place / "properties").refusal(f"an object has more than {_MOST_OPTIONAL} optional properties")
        self._settle_sizes(result, len(set(required)), at.place)

    def _settle_sizes(self, result: dict[str, Any], required: int, place: Place) -> None:
        least = result.get("minProperties", 0)
        if least <= required:
            result.pop("minProperties", None)
        elif least > 1:  # a name may come twice
            if not self._is_lenient:
                raise (place / "minProperties").refusal("more properties than are required cannot be enforced")
            del result["minProperties"]
        if result.get("minItems", 0) > _MOST_ITEMS or result.get("minLength", 0) > _MOST_ITEMS:
            raise place.refusal(f"more than {_MOST_ITEMS} items or characters fit no context")

    # ---- references ----

    def _reference(self, reference: Any, at: _At) -> str:
        place = at.place
        try:
            steps = steps_of(self._fragment(reference))
            found_at(self._document, steps)
        except NowhereError as error:
            raise place.refusal("it leads to nothing in this schema; a reference is like #/$defs/NAME") from error
        if len(self._names) >= _MOST_REFERENCES:
            raise place.refusal(f"there are more than {_MOST_REFERENCES} different references")
        return f"#/$defs/{self._names.setdefault((steps, at.is_open), f'd{len(self._names)}')}"

    def _fragment(self, reference: Any) -> str:
        base, mark, fragment = str(reference).partition("#")
        own = self._document.get("$id", "") if isinstance(self._document, dict) else ""
        if not mark or base not in ("", str(own).rstrip("#")):
            raise NowhereError
        return fragment

    def _target(self, reference: Any) -> Any:
        """Returns what a reference leads to, as the client wrote it; True where that is nothing."""
        try:
            return found_at(self._document, steps_of(self._fragment(reference)))
        except NowhereError:
            return True


def _bound_types(result: dict[str, Any], *, is_open: bool) -> None:
    """Says of what a type leaves open that it is anything which can be read."""
    types = result.get("type", [])
    types = types if isinstance(types, list) else [types]
    if "object" in types and not is_open:
        result.setdefault("additionalProperties", {"$ref": ANYTHING})
    if "array" in types and not is_open:
        result.setdefault("items", {"$ref": ANYTHING})
    for key, farthest in bounds_of(types).items():
        result.setdefault(key, farthest)


def _implied(given: Mapping[str, Any]) -> str | None:
    """Returns the type that a schema without one speaks of, if that is one."""
    if given.keys() & {"enum", "const", "$ref", "anyOf", "oneOf", "allOf"}:
        return None
    found = [one for one, words in keywords.IMPLIED.items() if given.keys() & set(words)]
    return found[0] if len(found) == 1 else None


def _says_more(given: Mapping[str, Any], key: str) -> bool:
    """Tells whether a schema asks for anything beside ``key``."""
    return not (given.keys() & keywords.ASKING) <= {key}


def _as_2020(given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a schema whose tuples are written as of draft 2020-12."""
    if not isinstance(given.get("items"), list):
        return {key: value for key, value in given.items() if key != "additionalItems"}
    rest = {"items": given["additionalItems"]} if "additionalItems" in given else {}
    old = {key: value for key, value in given.items() if key not in {"items", "additionalItems"}}
    return old | ({"prefixItems": given["items"]} if given["items"] else {}) | rest


def _size(value: Any, key: str, place: Place) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value % 1:
        raise (place / key).refusal("it must be a whole number, not negative")
    return min(int(value), _MOST_COUNTED) if key.startswith("max") else int(value)


def _format(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    name = given.get("format")
    if not isinstance(name, str) or name not in keywords.FORMATS:
        return
    yield "format", name
    if name in keywords.FORMAT_PATTERNS and "pattern" not in given:
        yield "pattern", keywords.FORMAT_PATTERNS[name]
    longest = keywords.FORMAT_LENGTHS.get(name, 0)
    if longest and "maxLength" not in given and given.get("minLength", 0) <= longest:
        yield "maxLength", longest


def _names(value: Any, place: Place) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise place.refusal("it must be a list of names")
    if len(value) > _MOST_REQUIRED:
        raise place.refusal(f"it has more than {_MOST_REQUIRED} names")
    return list(dict.fromkeys(value))
