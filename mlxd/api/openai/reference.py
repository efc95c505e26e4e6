"""The page about compatibility. ``docs/compatibility.md`` is ``python -m mlxd.api.openai.reference``.

What mlxd does is read from what it does: the fields of request bodies, and the tables of what is tolerated.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic.fields import FieldInfo

from mlxd.api.fields.tolerance import Rule, Rules
from mlxd.api.fields.validation import Strict
from mlxd.api.openai import leniency
from mlxd.api.openai.chat import ChatRequest
from mlxd.api.openai.completions import CompletionRequest
from mlxd.api.openai.peers import PEERS

_HEAD = """\
# Compatibility

<!-- Generated from the code by `python -m mlxd.api.openai.reference`; do not edit. `make docs` writes it anew. -->

What mlxd does with each field of a request, beside what other servers do with it. What the fields mean is in
[inference-api.md](inference-api.md).

| word | |
|---|---|
| yes | it is obeyed; numbers are the values that are taken |
| hint | no answer depends on it: it passes with any value of its type |
| refused | a 400 whose `param` names it; `null`, and the values that are told, ask for nothing and pass |
| unknown field | as refused, with the code `unknown_parameter`; left out with `server.unknown_fields = "ignore"` |
| ignored | another server takes it and does nothing: the answer is as if it were not there |
| unknown | what that server does could not be established |
"""

_SMALL = 2**20  # a bound beyond is none that anybody meets

# Where mlxd does something else than OpenAI, or than the field's inventor.
_DIFFERENT: Mapping[str, str] = {
    "model": "also an alias",
    "max_tokens": "-1: no limit; up to the model's default where it is unset, not 16",
    "stop": "64 strings at most, not 4",
    "logit_bias": "on `logprobs` it has no influence",
    "temperature": "0 is greedy, and the same again",
    "top_p": "0: the most likely token only",
    "top_k": "-1 and 0: off",
    "seed": "of several answers, the first is the seed's own",
    "tool_choice": "`required` and a name are enforced by grammar",
    "response_format": "valid with and without `strict`",
    "best_of": "by mean log-probability of a token; not with `stream`",
    "echo": "with `logprobs`, also those of the prompt",
    "prompt": "texts and token ids, 2,048 at most",
    "priority": "lower goes first, as in vLLM",
    "repeat_penalty": "another name of `repetition_penalty`",
}

# Where each table of what is tolerated inside of a field holds.
_WITHIN: Mapping[str, Rules] = {
    "`stream_options`": leniency.STREAM_OPTIONS,
    "messages of system and user": leniency.MESSAGE,
    "messages of the assistant": leniency.ANSWERED,
    "messages of tools": leniency.RESULT,
    "text parts": leniency.TEXT_PART,
    "reasoning parts": leniency.REASONING_PART,
    "calls that come back": leniency.CALL,
    "their `function`": leniency.CALLED_FUNCTION,
    "`tools`": leniency.TOOL,
    "their `function`, and `functions`": leniency.FUNCTION,
    "`response_format.json_schema`": leniency.NAMED_SCHEMA,
    "`structured_outputs`": leniency.STRUCTURED_OUTPUTS,
    "`reasoning`": leniency.REASONING,
    "`thinking`": leniency.THINKING,
}


def reference() -> str:
    """Returns the page."""
    return "\n".join(
        [_HEAD, *_endpoint("Chat completions", ChatRequest), *_endpoint("Text completions", CompletionRequest), *_inside(), *_sources()]
    )


def _endpoint(title: str, request: type[Strict]) -> Iterator[str]:
    is_chat = request is ChatRequest
    yield f"## {title}\n"
    yield f"| field | mlxd | {' | '.join(peer.name for peer in PEERS)} |"
    yield "|---|---|" + "---|" * len(PEERS)
    for name, said in _fields(request).items():
        yield f"| `{name}` | {said} | {' | '.join(peer.does(name, chat=is_chat) for peer in PEERS)} |"
    yield ""


def _fields(request: type[Strict]) -> dict[str, str]:
    """Returns what mlxd does with each field that anybody knows: those that are obeyed first, then hints, then what is refused."""
    is_chat = request is ChatRequest
    obeyed = {name: _obeyed(name, field) for name, field in sorted(request.model_fields.items())}
    rules = sorted(request.tolerated.items(), key=lambda item: (not item[1].is_hint, item[0]))
    tolerated = {name: _tolerated(rule) for name, rule in rules if name not in obeyed}
    elsewhere = sorted({name for peer in PEERS for name in (peer.chat if is_chat else peer.completions)})
    return obeyed | tolerated | {name: "unknown field" for name in elsewhere if name not in obeyed and name not in tolerated}


def _obeyed(name: str, field: FieldInfo) -> str:
    return "; ".join(part for part in ("yes" + _bounds(field), _DIFFERENT.get(name, "")) if part)


def _bounds(field: FieldInfo) -> str:
    limits: dict[str, Any] = {}
    for part in _constraints(field):
        limits |= {name: getattr(part, name) for name in ("ge", "gt", "le") if hasattr(part, name)}
    least, most = limits.get("ge", limits.get("gt")), limits.get("le")
    if least is None or most is None or most > _SMALL:
        return ""
    return f", {least:g} to {most:g}"


def _constraints(field: FieldInfo) -> Iterator[object]:
    yield from field.metadata
    for alternative in (field.annotation, *get_args(field.annotation)):
        for inner in getattr(alternative, "__metadata__", ()):
            yield from inner.metadata if isinstance(inner, FieldInfo) else (inner,)


def _tolerated(rule: Rule) -> str:
    if rule.is_hint:
        return f"hint: {rule.why[0].lower()}{rule.why[1:].rstrip('.')}" if rule.why else "hint"
    return f"refused but for {_code(rule.values)}" if rule.values else "refused"


def _inside() -> Iterator[str]:
    yield "## Inside of fields\n"
    yield "What is tolerated there, beside what is obeyed.\n"
    yield "| in | field | mlxd |"
    yield "|---|---|---|"
    for where, rules in _WITHIN.items():
        yield from (f"| {where} | `{name}` | {_tolerated(rule)} |" for name, rule in sorted(rules.items()))
    yield ""


def _sources() -> Iterator[str]:
    yield "## Where this comes from\n"
    yield "What mlxd does is read from its code. Of the others:\n"
    yield "| server | read in | fields that are not named there |"
    yield "|---|---|---|"
    yield from (f"| {peer.name} | {peer.source} | {peer.others} |" for peer in PEERS)


def _code(values: str) -> str:
    return " or ".join(f"`{value}`" for value in values.split(" or "))


if __name__ == "__main__":
    sys.stdout.write(reference() + "\n")
