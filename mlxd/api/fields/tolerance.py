"""Rules of what is tolerated, though it changes no answer: which values of a field, that mlxd knows and does nothing with, pass.

A hint, which no answer depends on (whose request it is, what a provider may cache), passes with any value of its type. Of the other fields
a value that asks for nothing (``suffix: ""``, ``audio: null``) passes, and any other is refused by name. What is in no table of rules, and
no field that is obeyed, is an unknown field: ``server.unknown_fields`` says what becomes of it.
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
class Kind:
    """A type of JSON values, and its name for people."""

    type: type | tuple[type, ...]
    name: str

    def holds(self, value: object) -> bool:
        """Tells whether the value is of this type; a boolean is no number."""
        return isinstance(value, self.type) and (self.type is bool or not isinstance(value, bool))


TEXT = Kind(str, "a string")
OBJECT = Kind(dict, "an object")
ARRAY = Kind(list, "an array")
BOOLEAN = Kind(bool, "true or false")
NUMBER = Kind((int, float), "a number")
ANY = Kind((str, dict, list, int, float), "anything")


def hint(kind: Kind, why: str) -> Rule:
    """Returns a rule that accepts every value of a type."""
    return Rule(accepts=kind.holds, values=kind.name, is_hint=True, why=why)


def only(*values: object, why: str = "") -> Rule:
    """Returns a rule that accepts these values: ``true`` is not 1, and 1.0 is."""
    shown = " or ".join(json.dumps(value) for value in values)
    return Rule(
        accepts=lambda found: any(isinstance(found, bool) == isinstance(value, bool) and found == value for value in values),
        values=shown,
        is_hint=False,
        why=why,
    )


OFF = only(False)  # noqa: FBT003 - a JSON value


def without_tolerated(body: Mapping[str, Any], rules: Rules) -> tuple[dict[str, Any], str | None]:
    """Returns ``body`` without the fields of ``rules``, and the name of the first of them whose value asks for something, if one does."""
    rest = {name: value for name, value in body.items() if name not in rules}
    asking = (name for name, value in body.items() if name in rules and value is not None and not rules[name].accepts(value))
    return rest, next(asking, None)
