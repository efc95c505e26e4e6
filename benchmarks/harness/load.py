"""Who sends what when: at once, one after another at intervals, or each user one request after the other."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from benchmarks.harness.client import Answer, Ask, Client

T = TypeVar("T")


async def together(client: Client, asks: Sequence[Ask]) -> list[Answer]:
    """All at once. Answers in the order of ``asks``."""
    return await _all([client.ask(ask) for ask in asks])


async def staggered(client: Client, asks: Sequence[Ask], interval: float) -> list[Answer]:
    """One starts every ``interval`` seconds, whether or not those before it have ended."""

    async def later(ask: Ask, delay: float) -> Answer:
        await asyncio.sleep(delay)
        return await client.ask(ask)

    return await _all([later(ask, index * interval) for index, ask in enumerate(asks)])


async def users(client: Client, asks: Sequence[Ask], concurrency: int) -> list[Answer]:
    """``concurrency`` users share ``asks``: who has an answer sends the next. Answers in no particular order."""
    waiting = list(reversed(asks))
    answers: list[Answer] = []

    async def user() -> None:
        while waiting:
            answers.append(await client.ask(waiting.pop()))

    await _all([user() for _ in range(concurrency)])
    return answers


def throughput(answers: Sequence[Answer]) -> float:
    """Tokens per second of all together, from the first request's beginning to the last answer's end."""
    seconds = max(answer.ended for answer in answers) - min(answer.began for answer in answers)
    return sum(answer.tokens for answer in answers) / seconds


async def _all(work: Sequence[Awaitable[T]]) -> list[T]:
    return list(await asyncio.gather(*work))
