"""Volatile lines: what a client puts at the head of its system prompt and changes with each request, such as a header about billing.

Nothing behind it would ever be found in the prefix cache, so it is left out before the prompt is rendered (``server.volatile_prefixes``).
It is looked for at the head of the first message, where that is the system's, and nowhere else: not in the middle of it, nor in what a user
says.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import msgspec

from mlxd.api.jobs import Jobs
from mlxd.types import ChatMessage
from mlxd.wire.prompts import ChatPrompt, Prompt

P = TypeVar("P", bound=Prompt)


def without_volatile(prompt: P, prefixes: Sequence[str]) -> P:
    """Returns the prompt without the lines at its head that begin with one of the prefixes."""
    if not isinstance(prompt, ChatPrompt) or not prefixes:
        return prompt
    messages = _steady(prompt.messages, _lines(tuple(prefixes)))
    return prompt if messages is prompt.messages else msgspec.structs.replace(prompt, messages=messages)


def steady(jobs: Jobs, prefixes: Sequence[str]) -> Jobs:
    """Returns the jobs with their prompts ``without_volatile`` lines."""
    known = {id(job.prompt): without_volatile(job.prompt, prefixes) for job in jobs.all}
    if all(known[id(job.prompt)] is job.prompt for job in jobs.all):
        return jobs
    return Jobs(all=[msgspec.structs.replace(job, prompt=known[id(job.prompt)]) for job in jobs.all], per_prompt=jobs.per_prompt)


def _steady(messages: list[ChatMessage], lines: re.Pattern[str]) -> list[ChatMessage]:
    first = messages[0] if messages else None
    if first is None or first.role != "system":
        return messages
    rest = first.content
    while found := lines.match(rest):
        rest = rest[found.end() :].lstrip("\n")
    if rest == first.content:
        return messages
    if rest or len(messages) == 1:
        return [msgspec.structs.replace(first, content=rest), *messages[1:]]  # a system's message shows no pictures
    return _steady(messages[1:], lines)


@lru_cache(maxsize=16)
def _lines(prefixes: tuple[str, ...]) -> re.Pattern[str]:
    """Returns what such a line is: up to its end, or, where a router glued the next text to its ``name=value;`` pairs, up to that."""
    beginning = "|".join(map(re.escape, prefixes))
    return re.compile(rf"\s*(?:{beginning})(?:(?:[ \t]*[\w.-]+=[^;\n]*;)+(?=\S)|[^\n]*(?:\n|\Z))", re.IGNORECASE)
