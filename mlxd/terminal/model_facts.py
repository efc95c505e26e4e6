"""``mlxd status MODEL``: one model, and where what is known of it was read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mlxd.quantities import size
from mlxd.terminal.status_table import below, encodes, model_name, model_state, notes_on
from mlxd.terminal.values import counted, latency, printable

_MEMORY = {
    "weights": "weights",
    "kv": "keys and values",
    "states": "states",
    "snapshots": "snapshots",
    "media": "pictures",
    "draft": "draft model",
    "adapters": "adapters",
    "grammars": "grammars",
    "disk": "on its way to disk",
    "transients": "computing",
    "other": "other",
}


def render_model(model: Mapping[str, Any]) -> RenderableType:
    """``model`` is the answer of ``GET /admin/v1/models/{id}``."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in _rows(model):
        table.add_row(title, text if isinstance(text, Text) else Text(printable(text)))
    return Group(table, *below([*notes_on(model)]))


def _rows(model: Mapping[str, Any]) -> Iterator[tuple[str, Text | str]]:
    yield "model", model_name(model)
    yield "state", model_state(model)
    yield "source", model["source"]
    if encodes(model):
        yield "task", ", ".join(model["tasks"])
    yield from _computing(model)
    yield from _shares(model["cache"])
    yield from _adapters(model["adapters"])
    if (memory := model["memory"]) is not None:
        yield "memory", f"{size(memory['held_bytes'])} held: {_parts(memory)}"
    if (speculation := model["speculation"]) is not None and not encodes(model):
        yield "guesses", _speculation(speculation, model["limits"], model["tokens"])
    if (facts := model["facts"]) is not None:
        yield from _files(model, facts)


def _computing(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields how the model computes, and what it makes or keeps."""
    if (runner := model["runner"]) is not None:
        yield "runner", f"{runner['name']}: {runner['reason']}"
        yield "device", f"{model['device']} {model['dtype']}"
        if (compiled := runner["compiled"]) is not None:
            yield "steps", f"{'compiled' if compiled['used'] else 'not compiled'}: {compiled['reason']}"
    if (attention := model["attention"]) is not None:
        yield "attention", "\n".join(f"{one['way']} {one['state']}: {one['reason']}" for one in attention["ways"])
    if (stored := model["keys_and_values"]) is not None:
        yield "cache", "\n".join(_stored(stored))
    if (encoding := model["encoding"]) is not None:
        yield from _encoding(encoding)


def _files(model: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields what the model's files say, and which those are."""
    yield "context", f"{counted(model['context_length'], 'token')}: {facts['context_origin']}"
    if not encodes(model):
        yield from _language(model, facts)
    yield "weights", f"{', '.join(facts['weight_files'])}: {facts['weights_origin']}"
    if facts["sight"]:
        yield "sight", facts["sight"]
    if (draft := facts["draft"]) is not None:
        yield "draft model", f"{draft['source']}: {size(draft['weight_bytes'])} {draft['dtype']}"


def _language(model: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields what is known of the answers of a model that generates."""
    yield "vocabulary", f"{counted(model['vocabulary_size'], 'token')}: {facts['vocabulary_origin']}"
    yield "end tokens", "\n".join(map(_end_token, facts["end_tokens"])) or "none"
    yield "template", facts["chat_template_origin"] or "none: the model only completes text"
    yield "tools", f"{facts['tools']}: {facts['tools_origin']}"
    yield "reasoning", f"{facts['reasoning']}: {facts['reasoning_origin']}"


def _encoding(encoding: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields how a model makes vectors or scores, and what goes before texts where they are asked for it."""
    if (dimension := encoding["dimension"]) is not None:
        least = encoding["least_dimension"]
        shorter = f", or fewer, down to {least}" if least is not None else ""
        length = ", of length 1" if encoding["normalized"] else ""
        yield "vectors", f"{counted(dimension, 'number')}{shorter}{length}"
        yield "pooling", f"{encoding['pooling']}: {encoding['pooling_origin']}"
    if encoding["scores"]:
        yield "scores", f"{encoding['scores']}: {encoding['scores_origin']}"
    if encoding["prompts"]:
        default = encoding["default_prompt"]
        lines = (f"{name}: {text!r}{', where none is named' if name == default else ''}" for name, text in encoding["prompts"].items())
        yield "prompts", "\n".join(lines)


def _parts(memory: Mapping[str, int]) -> str:
    """Returns the parts of what a worker holds, but those of which it has none."""
    return ", ".join(f"{size(memory[f'{name}_bytes'])} {words}" for name, words in _MEMORY.items() if memory[f"{name}_bytes"])


def _shares(cache: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields what stays in a cache, what is kept of pictures, and what keys have of it."""
    if cache["pins"]:
        yield "pins", "\n".join(map(_pin, cache["pins"]))
    if (seen := cache["media"]) is not None:
        yield "seen", _seen(seen)
    if cache["keys"]:
        yield "keys", "\n".join(f"{name}: {_share(share)}" for name, share in cache["keys"].items())


def _seen(seen: Mapping[str, Any]) -> str:
    each = f" in {latency(seen['encode_seconds'] / seen['encoded'])} each" if seen["encoded"] else ""
    failed = f", {seen['failed']:,} failed" if seen["failed"] else ""
    yet = f"{seen['encoded']:,} encoded{each}{failed}, {counted(seen['hits'], 'time')} found encoded"
    kept = f"{size(seen['bytes'])} of {size(seen['limit_bytes'])} kept of {seen['kept']:,}"
    return f"{counted(seen['images'], 'picture')}, {counted(seen['videos'], 'film')}: {yet}\n{kept}"


def _pin(pin: Mapping[str, Any]) -> str:
    return f"{pin['name']} {pin['state']}: {pin['reason'] or counted(pin['tokens'], 'token') + ', ' + size(pin['bytes'])}"


def _share(share: Mapping[str, Any]) -> str:
    own = "" if share["quota_bytes"] is None else f", {size(share['quota_bytes'])} its own"
    return f"{size(share['held_bytes'])} of the cache{own}"


def _adapters(adapters: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    if adapters:
        yield "adapters", "\n".join(map(_adapter, adapters))


def _adapter(adapter: Mapping[str, Any]) -> str:
    """Returns an adapter's state, and what is known of it: first how many layers it changes."""
    how = [adapter["load"], *(["pinned"] if adapter["pinned"] else [])]
    text = f"{adapter['name']} {adapter['state']} ({', '.join(how)}): "
    if adapter["reason"]:
        return f"{text}{adapter['reason']}"
    if adapter["layers"] is None:
        return f"{text}{adapter['source']}"
    changes = f"changes {counted(adapter['layers'], 'layer')}, rank {adapter['rank']}, scale {adapter['scale']:g}, {adapter['format']}"
    running = f", {counted(adapter['requests'], 'request')}" if adapter["requests"] else ""
    return f"{text}{changes}, {size(adapter['bytes'])}{running}"


def _stored(stored: Mapping[str, Any]) -> Iterator[str]:
    saved = "" if stored["quality"] is None else f" instead of {size(stored['plain_token_bytes'])}"
    yield f"{size(stored['token_bytes'])} a token{saved}"
    for one in stored["layers"]:
        dims = f"{one['key_dim']}" if one["key_dim"] == one["value_dim"] else f"{one['key_dim']} and {one['value_dim']}"
        sees = f" that see {counted(one['window'], 'token')}" if one["window"] else ""
        yield f"{counted(one['layers'], 'layer')} of {counted(one['kv_heads'], 'head')} of {dims}{sees}: {one['type']}, {one['reason']}"
    if (found := stored["quality"]) is not None:
        change = found["perplexity"] / found["plain_perplexity"] - 1
        perplexity = f"perplexity {found['perplexity']:.4g} instead of {found['plain_perplexity']:.4g} ({change:+.2%})"
        yield f"{perplexity}, the same token first at {found['agreement']:.1%} of {found['tokens']:,} places"


def _speculation(speculation: Mapping[str, Any], limits: Mapping[str, Any] | None, tokens: Mapping[str, int]) -> str:
    asked = f"{limits['speculation']} asked for; " if limits else ""
    tried = f"\n{tokens['accepted']} of {tokens['drafted']} right, of {counted(tokens['generated'], 'token')}" if tokens["drafted"] else ""
    return f"{asked}{' or '.join(speculation['kinds']) or 'none'} possible: {speculation['reason']}{tried}"


def _end_token(token: Mapping[str, Any]) -> str:
    return f"{token['id']} {token['text']}: {', '.join(token['origins'])}"
