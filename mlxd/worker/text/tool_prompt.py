"""Tools for templates that know of none: told in a system message, in the form that Hermes models were the first to be trained on.

Calls of earlier turns become the text that a model would have written, and results what a user says. The prompt is not that of any one
model: it is what a model that was never told of tools can follow, and what ``tool_choice`` enforces by grammar is the same form.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import msgspec

from mlxd.types import ChatMessage, ToolCall
from mlxd.worker.text.joined_messages import behind, joined

_PROMPT = """\
You can call functions. These are their signatures, one JSON object a line:
<tools>
{tools}
</tools>

To call a function, write a JSON object with its name and its arguments between tags, and nothing after the last call:
<tool_call>
{{"name": "NAME", "arguments": {{"KEY": "VALUE"}}}}
</tool_call>

What it returns comes between <tool_response> and </tool_response>. Call a function only where it helps; else answer in words."""


def with_tool_prompt(messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]], *, takes_system: bool) -> list[ChatMessage]:
    """Returns the conversation with ``tools`` told in its system message; in the first message where the template takes no other."""
    if not tools:
        return list(messages)
    told = _PROMPT.format(tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools))
    first, *others = messages or [ChatMessage(role="user", content="")]
    if not takes_system:
        return [behind(first, f"{told}\n\n"), *others]
    if first.role == "system":
        return [msgspec.structs.replace(first, content=f"{first.content}\n\n{told}"), *others]
    return [ChatMessage(role="system", content=told), *messages]


def without_calls(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Returns the conversation in which calls and results are text. Results in a row, and what a user says right behind them, are one
    message: many templates want users and assistants to alternate.
    """
    plain: list[ChatMessage] = []
    behind_result = False
    for message in messages:
        spoken = _spoken(message)
        if behind_result and spoken.role == "user":
            plain[-1] = joined((plain[-1], spoken), "\n")
        else:
            plain.append(spoken)
        behind_result = message.role == "tool" or (behind_result and spoken.role == "user")
    return plain


def _spoken(message: ChatMessage) -> ChatMessage:
    if message.role == "tool":
        result = ChatMessage(role="user", content=f"{message.content}\n</tool_response>", media=message.media)
        return behind(result, "<tool_response>\n")
    if not message.tool_calls:
        return message
    text = "\n".join([*([message.content] if message.content else []), *_written(message.tool_calls)])
    return msgspec.structs.replace(message, content=text, tool_calls=[])


def _written(calls: Sequence[ToolCall]) -> Iterator[str]:
    for call in calls:
        yield f'<tool_call>\n{{"name": {json.dumps(call.name, ensure_ascii=False)}, "arguments": {call.arguments or "{}"}}}\n</tool_call>'


def one_call_each(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Returns the conversation in which no message calls more than once: each further call follows the result of the one before it. What
    a message says and thinks comes with its first call.
    """
    single: list[ChatMessage] = []
    rest = list(messages)
    while rest:
        message = rest.pop(0)
        if len(message.tool_calls) < 2:
            single.append(message)
            continue
        results = list(takewhile(lambda one: one.role == "tool", rest))
        del rest[: len(results)]
        first, *others = message.tool_calls
        single += [msgspec.structs.replace(message, tool_calls=[first]), *_results_of(first, results)]
        for call in others:
            single += [ChatMessage(role="assistant", content="", tool_calls=[call]), *_results_of(call, results)]
        single += results
    return single


def _results_of(call: ToolCall, results: list[ChatMessage]) -> list[ChatMessage]:
    """Takes a call's results out of ``results``, and returns them."""
    own = [result for result in results if result.tool_call_id == call.id]
    results[:] = [result for result in results if result.tool_call_id != call.id]
    return own
