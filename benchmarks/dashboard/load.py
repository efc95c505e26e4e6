"""Users who chat, and others who do not know how."""

import asyncio
import random
from contextlib import suppress
from typing import Self

import aiohttp

from benchmarks.harness.client import Ask, Client
from benchmarks.harness.errors import BenchmarkError

_SYSTEM = (
    "You are the patient assistant of a small shop that sells boats, sails and ropes. You answer in short and friendly sentences. " * 5
)
_QUESTIONS = (
    "How long is a rope for a boat of five metres?",
    "Which sail do I need when the wind is strong?",
    "Tell me a story about an old captain and his dog.",
    "What does a small wooden boat cost, and what is it good for?",
    "My boat has a hole. Who can help me on a Sunday?",
    "I want to learn sailing. Where do I begin?",
)


class Users:
    """As many as ``become`` said last; each asks, reads the answer, thinks for a moment, and asks again."""

    def __init__(self, url: str, choose: random.Random) -> None:
        self.url = url
        self.models = ["smollm2"]
        self._choose = choose
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def become(self, count: int) -> None:
        """Start as many as are missing; those too many leave after their answer."""
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks += [asyncio.create_task(self._user(number)) for number in range(len(self._tasks), count)]
        self._count = count

    async def _user(self, number: int) -> None:
        while number < self._count:
            question = self._choose.choice(_QUESTIONS)
            if self._choose.random() < 0.5:
                question += f" I am customer {self._choose.randrange(1000)}."
            ask = Ask.chat(_SYSTEM if self._choose.random() < 0.85 else "", question, self._choose.choice((12, 24, 24, 48)))
            with suppress(BenchmarkError):  # a worker was killed: ask again
                async with Client("mlxd", self.url, self._choose.choice(self.models)) as client:
                    await client.ask(ask)
            await asyncio.sleep(self._choose.uniform(0, 0.5))


async def mistaken(url: str) -> None:
    """Wrong names, wrong values, wrong addresses."""
    bodies = [{"model": "gpt-4", "prompt": "Hello"}, {"model": "smollm2", "prompt": "Hello", "max_tokens": -1}, {"model": "smollm2"}]
    async with aiohttp.ClientSession() as session:
        for body in 4 * bodies:
            async with session.post(f"{url}/v1/completions", json=body):
                await asyncio.sleep(0.5)


async def hurried(url: str) -> None:
    """Clients who go away before their answer is there."""
    body = {"model": "smollm2", "prompt": "Once upon a time", "max_tokens": 200, "stream": True}
    for _ in range(4):
        with suppress(TimeoutError):
            async with asyncio.timeout(1), aiohttp.ClientSession() as session, session.post(f"{url}/v1/completions", json=body) as answer:
                await answer.read()
