"""Users who ask short things, some of whom go away; and an operator who saves the configuration all the time."""

import asyncio
import contextlib
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp

from benchmarks.footprint.subject import RENEWED, STEADY, Subject

WORDS = (
    "one",
    "the",
    "of",
    "cat",
    "hill",
    "river",
    "seldom",
    "under",
    "seven",
    "blue",
    "paper",
    "walks",
    "then",
    "quick",
    "stone",
    "never",
    "more",
    "about",
)
_RELOAD_EVERY = 5.0  # seconds
_BUSY = {429, 503, 507}


class Traffic:
    """``async with``: users until it is left. ``counts`` are of what is over."""

    def __init__(self, subject: Subject, users: int) -> None:
        self.counts = {"requests": 0, "aborts": 0, "refusals": 0, "reloads": 0}
        self._subject = subject
        self._users = users
        self._chance = Random(7)  # noqa: S311 - no secret
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(self._subject.url, timeout=aiohttp.ClientTimeout(total=120))
        models = [STEADY, STEADY, STEADY, RENEWED]
        self._tasks = [asyncio.create_task(self._ask_for_ever(models[number % len(models)])) for number in range(self._users)]
        self._tasks.append(asyncio.create_task(self._reload_for_ever()))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()
        for one in ended:
            if isinstance(one, Exception):
                raise one

    async def _ask_for_ever(self, model: str) -> None:
        while True:
            body = {"model": model, "prompt": self._prompt(), "max_tokens": self._chance.randint(1, 8), "stream": True}
            patience = self._chance.uniform(0, 0.05) if self._chance.random() < 1 / 7 else None
            try:
                async with asyncio.timeout(patience):
                    await self._ask(body)
            except TimeoutError:
                self.counts["aborts"] += 1

    async def _ask(self, body: dict[str, Any]) -> None:
        async with self._session.post("/v1/completions", json=body) as response:
            await response.read()
        if response.status in _BUSY:
            self.counts["refusals"] += 1
            await asyncio.sleep(0.05)
        else:
            response.raise_for_status()
            self.counts["requests"] += 1

    def _prompt(self) -> str:
        """Returns a text of up to sixty words; half of them begin alike, so that the prefix cache has something to share."""
        words = self._chance.choices(WORDS, k=self._chance.randint(3, 60))
        return " ".join([*WORDS, *words]) if self._chance.random() < 1 / 2 else " ".join(words)

    async def _reload_for_ever(self) -> None:
        number = 0
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                await asyncio.sleep(_RELOAD_EVERY)
                number += 1
                self._subject.write(number)
                self.counts["reloads"] += 1
