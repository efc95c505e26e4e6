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


def places(value: Any) -> list[tuple[Any, Any]]:
    """Returns where there is something: objects and lists, each with a key into it."""
    found, left = [], [value]
    while left:
        holder = left.pop()
        for key, inner in holder.items() if isinstance(holder, dict) else enumerate(holder):
            found.append((holder, key))
            if isinstance(inner, dict | list):
                left.append(inner)
    return found


def mutated(body: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A body with one to three values replaced or taken out."""
    body = _copied(body)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        found = places(body)
        if not found:
            return body
        holder, key = rng.choice(found)
        chosen = rng.choice([*VALUES, GONE])
        if chosen is GONE:
            del holder[key]
        else:
            holder[key] = copy.deepcopy(chosen)
    return body


def _copied(body: dict[str, Any]) -> dict[str, Any]:
    copied: dict[str, Any] = json.loads(json.dumps(body))  # bodies are large: twenty times as quick as ``copy.deepcopy``
    return copied


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
    body = _copied(body)
    found = [(holder, key) for holder, key in places(body) if key in ("type", "role")]
    for holder, key in rng.sample(found, min(len(found), 3)):
        holder[key] = rng.choice(("system", "developer", "tool", "assistant", "user") if key == "role" else (*_KINDS, *_KINDS_OF_ITEMS))
    lists = [holder[key] for holder, key in places(body) if isinstance(holder[key], list) and holder[key]]
    if lists and rng.random() < 0.5:
        chosen = rng.choice(lists)
        chosen.insert(rng.randrange(len(chosen) + 1), copy.deepcopy(rng.choice(chosen)))
    return body


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
