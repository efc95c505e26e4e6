"""Fields and items taken out of a JSON value, wherever they are."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

Location = tuple[str | int, ...]  # ("messages", 2, "name")


def without(value: Any, locations: Iterable[Location]) -> Any:
    """Returns a copy of the value that lacks what is at ``locations``, and shares the rest."""
    inside: dict[str | int, list[Location]] = defaultdict(list)
    for first, *rest in locations:
        inside[first].append(tuple(rest))
    if not inside:
        return value
    if isinstance(value, list):
        return [without(inner, inside.get(index, ())) for index, inner in enumerate(value) if () not in inside.get(index, ())]
    return {name: without(inner, inside.get(name, ())) for name, inner in value.items() if () not in inside.get(name, ())}
