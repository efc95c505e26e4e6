"""Requests with something replaced, taken out, put in, or broken: in their values, their bytes, their headers."""

import copy
import json
import random
from dataclasses import dataclass, field
from typing import Any

from tests.support.recorded_requests import Recorded

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
_KINDS = ("text", "thinking", "redacted_thinking", "tool_use", "tool_result", "image", "document", "server_tool_use", "custom", "reasoning")
_KINDS_OF_ITEMS = (
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "item_reference",
    "web_search_call",
    "input_text",
)
_HEADERS = {
    "content-type": ("text/plain", "application/json; charset=latin-1", "application/json", ""),
    "accept": ("text/event-stream", "application/xml", "*/*"),
    "anthropic-version": ("2026-10-21", "yesterday", ""),
    "anthropic-beta": ("a,b,c", "x" * 5000, ""),
    "x-api-key": ("sk-nobody", ""),
    "authorization": ("Bearer ", "Basic eDp5", "Bearer sk-nobody"),
    "content-encoding": ("gzip", "br", "identity"),
    "x-request-id": ("r" * 300, "\u00e9"),
}


@dataclass(frozen=True)
class Mutated:
    """A request that may be wrong in any way."""

    target: str
    data: bytes
    headers: dict[str, str] = field(default_factory=dict)


def places(value: Any, where: tuple = ()):
    """Yields where there is something, by the keys that lead there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*where, key)
        yield from places(inner, (*where, key))


def mutated(body: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A body with one to three values replaced or taken out."""
    body = copy.deepcopy(body)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        found = [*places(body)]
        if not found:
            return body
        *path, last = rng.choice(found)
        inner = body
        for key in path:
            inner = inner[key]
        chosen = rng.choice([*VALUES, GONE])
        if chosen is GONE:
            del inner[last]
        else:
            inner[last] = copy.deepcopy(chosen)
    return body


def mutated_request(request: Recorded, rng: random.Random, model: str) -> Mutated:
    """A request for ``model`` with its values, its bytes or its headers changed; mostly its values."""
    body = request.body | {"model": model}
    headers = {"content-type": "application/json"} | request.headers
    way = rng.random()
    if way < 0.7:
        body = mutated(body, rng) if way < 0.55 else _retyped(body, rng)
        if rng.random() < 0.9:
            body["model"] = model
        return Mutated(request.target, json.dumps(body).encode(), headers)
    if way < 0.85:
        return Mutated(request.target, _broken(json.dumps(body).encode(), rng), headers)
    name = rng.choice([*_HEADERS])
    target = rng.choice([request.target, request.path, f"{request.path}/", f"{request.path}?beta=true&beta=false", f"/v1{request.path}"])
    return Mutated(target, json.dumps(body).encode(), headers | {name: rng.choice(_HEADERS[name])})


def _retyped(body: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A body in which things are of other kinds, in other roles, or there twice."""
    body = copy.deepcopy(body)
    found = [path for path in places(body) if path[-1] in ("type", "role")]
    for *path, last in rng.sample(found, min(len(found), 3)):
        inner = body
        for key in path:
            inner = inner[key]
        inner[last] = rng.choice(("system", "developer", "tool", "assistant", "user") if last == "role" else (*_KINDS, *_KINDS_OF_ITEMS))
    lists = [path for path in places(body) if isinstance(_at(body, path), list) and _at(body, path)]
    if lists and rng.random() < 0.5:
        chosen = _at(body, rng.choice(lists))
        chosen.insert(rng.randrange(len(chosen) + 1), copy.deepcopy(rng.choice(chosen)))
    return body


def _at(value: Any, path: tuple) -> Any:
    for key in path:
        value = value[key]
    return value


def _broken(data: bytes, rng: random.Random) -> bytes:
    """The bytes of a body, cut, doubled, or with others in their place."""
    match rng.randrange(5):
        case 0:
            return data[: rng.randrange(len(data))]
        case 1:
            return data + data[: rng.randrange(len(data))]
        case 2:
            return bytes(byte if rng.random() > 0.01 else rng.randrange(256) for byte in data)
        case 3:
            return b"[" * rng.choice([1, 100, 100_000]) + data
        case _:
            return data.decode().encode(rng.choice(["utf-16", "utf-8-sig", "utf-7"]))
