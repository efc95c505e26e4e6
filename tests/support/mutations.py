"""Requests with a value replaced or taken out, anywhere in them."""

import copy

VALUES = [
    None,
    "",
    "x",
    [],
    {},
    [{}],
    [None],
    [[]],
    {"type": "x"},
    {"x": {}},
    0,
    -1,
    1.5,
    10**20,
    10**400,
    True,
    False,
    "😀\u0000",
    ["x"],
    "none",
    "{",
]
GONE = object()


def places(value, where=()):
    """Yields where there is something, by the keys that lead there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*where, key)
        yield from places(inner, (*where, key))


def mutated(body, rng):
    body = copy.deepcopy(body)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        *path, last = rng.choice([*places(body)])
        inner = body
        for key in path:
            inner = inner[key]
        chosen = rng.choice([*VALUES, GONE])
        if chosen is GONE:
            del inner[last]
        else:
            inner[last] = copy.deepcopy(chosen)
    return body
