"""The page about compatibility. ``docs/compatibility.md`` is ``python -m mlxd.api.reference``.

What mlxd does is read from what it does: the fields of request bodies, and the tables of what is tolerated.
"""

import sys
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic.fields import FieldInfo

from mlxd.api.anthropic import leniency as anthropic
from mlxd.api.anthropic.messages import MessagesRequest
from mlxd.api.encoding.rerank import RerankRequest
from mlxd.api.encoding.score import ScoreRequest
from mlxd.api.fields.tolerance import Rule, Rules
from mlxd.api.fields.validation import Strict
from mlxd.api.media import leniency as media
from mlxd.api.openai import leniency as openai
from mlxd.api.openai.chat import ChatRequest
from mlxd.api.openai.completions import CompletionRequest
from mlxd.api.openai.embeddings import EmbeddingsRequest
from mlxd.api.openai.peers import PEERS
from mlxd.api.responses import leniency as responses
from mlxd.api.responses.request import ResponsesRequest

_HEAD = """\
# Compatibility

<!-- Generated from the code by `python -m mlxd.api.reference`; do not edit. `make docs` writes it anew. -->

What mlxd does with each field of a request, and for chats and text completions what other servers do with it. What the fields mean is in
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
    "model": "also an alias, or what a pattern of one matches",
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

_RESPONSES: Mapping[str, str] = {
    "model": "also an alias, or what a pattern of one matches",
    "include": "`reasoning.encrypted_content` and `message.output_text.logprobs` are obeyed; others are about what is not there",
    "max_output_tokens": "-1 and 0: no limit",
    "max_tool_calls": "it counts calls of hosted tools, of which there are none",
    "metadata": "the answer repeats it",
    "parallel_tool_calls": "enforced by grammar",
    "prompt_cache_key": "the answer repeats it; prompts that begin alike are cached whether or not somebody asks",
    "safety_identifier": "the answer repeats it",
    "service_tier": "any; there is one",
    "store": "nothing is stored, and the answer says `store: false`",
    "tool_choice": "`required` and names are enforced by grammar; a hosted tool is refused",
    "tools": "functions, custom tools, namespaces of both; hosted ones are left out",
    "top_k": "-1 and 0: off",
    "user": "the answer repeats it",
}

_MESSAGES: Mapping[str, str] = {
    "max_tokens": "0: the prompt is computed, and nothing said",
    "model": "also an alias, or what a pattern of one matches",
    "tool_choice": "`any` and names are enforced by grammar",
}

_EMBEDDINGS: Mapping[str, str] = {
    "model": "also an alias, or what a pattern of one matches; one that makes vectors",
    "input": "a text or tokens, or 2,048 of them at most; none is empty",
    "encoding_format": "`float` where nothing is said",
    "dimensions": "where the model's vectors may be shortened",
    "truncate": "texts that are too long are cut at their end; else they are refused",
    "truncate_prompt_tokens": "as `truncate`, at so many tokens, those that the tokenizer adds included; -1: at the model's limit",
    "prompt_name": 'of the model\'s own prompts, the one that goes before each text; `""`: none does',
    "priority": "lower goes first, as in vLLM",
}

_PAIRS: Mapping[str, str] = {
    "model": "also an alias, or what a pattern of one matches; one that scores texts",
    "truncate": "documents that are too long are cut at their end; else they are refused",
    "truncate_prompt_tokens": "as `truncate`, of pairs of more tokens, those that the tokenizer adds included; -1: than the model takes",
    "max_tokens_per_doc": "documents are cut at so many tokens of their own, and then as with `truncate`",
    "instruction": "of models that take one, such as Qwen3-Reranker",
    "priority": "lower goes first, as in vLLM",
}

_RERANK: Mapping[str, str] = {
    **_PAIRS,
    "documents": "10,000 at most: strings, or objects with a `text`",
    "top_n": "0: all",
    "return_documents": "false where nothing is said",
}

_SCORE: Mapping[str, str] = {
    **_PAIRS,
    "text_1": "with `text_2`: one text, or as many; likewise `queries` with `documents` or `items`, and `data_1` with `data_2`",
}

# Where each table of what is tolerated inside of a field holds, by the API.
_WITHIN: Mapping[str, Mapping[str, Rules]] = {
    "Chat and text completions": {
        "`stream_options`": openai.STREAM_OPTIONS,
        "messages of system and user": openai.MESSAGE,
        "messages of the assistant": openai.ANSWERED,
        "messages of tools": openai.RESULT,
        "text parts": openai.TEXT_PART,
        "parts that show a picture": media.MEDIA_PART,
        "their URLs, as objects": media.MEDIA_URL,
        "parts that show a film": media.FILM_PART,
        "a film's URL, as an object": media.FILM_URL,
        "reasoning parts": openai.REASONING_PART,
        "calls that come back": openai.CALL,
        "their `function`": openai.CALLED_FUNCTION,
        "`tools`": openai.TOOL,
        "their `function`, and `functions`": openai.FUNCTION,
        "`response_format.json_schema`": openai.NAMED_SCHEMA,
        "`structured_outputs`": openai.STRUCTURED_OUTPUTS,
        "`reasoning`": openai.REASONING,
        "`thinking`": openai.THINKING,
    },
    "Responses": {
        "`stream_options`": responses.STREAM_OPTIONS,
        "`reasoning`": responses.REASONING,
        "`text.format`": responses.FORMAT,
        "functions among `tools`": responses.FUNCTION,
        "custom tools": responses.CUSTOM,
        "namespaces": responses.NAMESPACE,
        "searches for tools": responses.SEARCH,
    },
    "Messages": {
        "`output_config`": anthropic.OUTPUT_CONFIG,
        "`thinking`": anthropic.THINKING,
        "messages": anthropic.TURN,
        "blocks": anthropic.BLOCK,
        "pictures": anthropic.IMAGE,
        "`tools`": anthropic.TOOL,
    },
}


def reference() -> str:
    compared = [*_compared("Chat completions", ChatRequest), *_compared("Text completions", CompletionRequest)]
    alone = [*_alone("Responses", ResponsesRequest, _RESPONSES), *_alone("Messages", MessagesRequest, _MESSAGES)]
    alone += _alone("Embeddings", EmbeddingsRequest, _EMBEDDINGS)
    alone += [*_alone("Rerank", RerankRequest, _RERANK), *_alone("Score", ScoreRequest, _SCORE)]
    return "\n".join([_HEAD, *compared, *alone, *_inside(), *_sources()])


def _alone(title: str, request: type[Strict], different: Mapping[str, str]) -> Iterator[str]:
    """Yields the table of an API that other servers are not compared in."""
    yield f"## {title}\n"
    yield "| field | mlxd |"
    yield "|---|---|"
    yield from (f"| `{name}` | {said} |" for name, said in (_own_fields(request, different)).items())
    yield ""


def _compared(title: str, request: type[Strict]) -> Iterator[str]:
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
    own = _own_fields(request, _DIFFERENT)
    elsewhere = sorted({name for peer in PEERS for name in (peer.chat if is_chat else peer.completions)})
    return own | {name: "unknown field" for name in elsewhere if name not in own}


def _own_fields(request: type[Strict], different: Mapping[str, str]) -> dict[str, str]:
    """Returns what mlxd does with each field that it knows."""
    obeyed = {name: _obeyed(field, different.get(name, "")) for name, field in sorted(request.model_fields.items())}
    rules = sorted(request.tolerated.items(), key=lambda item: (not item[1].is_hint, item[0]))
    return obeyed | {name: _tolerated(rule) for name, rule in rules if name not in obeyed}


def _obeyed(field: FieldInfo, different: str) -> str:
    return "; ".join(part for part in ("yes" + _bounds(field), different) if part)


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
    for api, places in _WITHIN.items():
        yield f"### {api}\n"
        yield "| in | field | mlxd |"
        yield "|---|---|---|"
        for where, rules in places.items():
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
