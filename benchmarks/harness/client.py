"""An OpenAI client that streams and looks at the clock. Times are seconds of ``time.perf_counter``."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Self

import aiohttp
import msgspec

from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.process import ServerProcess

CACHE_HEADER = "x-mlxd-cache"
_TOGETHER = 0.002  # seconds; a server that guesses tokens has several at once


@dataclass(frozen=True)
class Ask:
    """One request: greedy, streamed, with usage at the end."""

    path: str
    content: dict[str, Any]
    max_tokens: int

    @classmethod
    def text(cls, prompt: str | Sequence[int], max_tokens: int) -> Self:
        """Continue a text, or token ids (which mlx_lm.server does not take)."""
        return cls("/v1/completions", {"prompt": prompt}, max_tokens)

    @classmethod
    def chat(cls, system: str, user: str, max_tokens: int) -> Self:
        """Answer a question under a system prompt."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        return cls("/v1/chat/completions", {"messages": messages}, max_tokens)

    def body(self, model: str) -> dict[str, Any]:
        """Returns what is posted to ``model``."""
        common = {"max_tokens": self.max_tokens, "temperature": 0, "stream": True, "stream_options": {"include_usage": True}}
        return {"model": model, **self.content, **common}


@dataclass(frozen=True)
class Delta:
    """Text, and when it arrived."""

    at: float
    text: str


@dataclass(frozen=True)
class Gap:
    """Between two arrivals of text."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long the reader waited."""
        return self.ended - self.began


@dataclass
class Answer:
    """One request as its client saw it. Filled while it streams, so it can be looked at before its end."""

    began: float = 0.0
    ended: float = 0.0  # 0: not yet
    deltas: list[Delta] = field(default_factory=list)  # only those with text
    usage: dict[str, Any] | None = None
    cache: str | None = None  # mlxd's header: "hit", "prefix_hit" or "miss"
    finish_reason: str | None = None

    @property
    def ttft(self) -> float:
        """Seconds from sending the request to the first text."""
        if not self.deltas:
            raise BenchmarkError("an answer had no text, so it has no time to the first token")
        return self.deltas[0].at - self.began

    @property
    def tokens(self) -> int:
        """Tokens generated, by the server's own count: a delta may carry several, and a token may have no text."""
        return int(self.usage["completion_tokens"]) if self.usage else 0

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt, by the server's own count."""
        return int(self.usage["prompt_tokens"]) if self.usage else 0

    @property
    def cached_tokens(self) -> int | None:
        """Of ``prompt_tokens``, those a prefix cache had. None: the server does not say."""
        details = (self.usage or {}).get("prompt_tokens_details") or {}
        return details.get("cached_tokens")

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def decode_rate(self) -> float:
        """Tokens per second after the first text."""
        seconds = self.deltas[-1].at - self.deltas[0].at
        return (self.tokens - 1) / seconds if seconds > 0 else float("nan")

    def gaps(self) -> list["Gap"]:
        """Between each two arrivals of text, in order: the tokens of one step, be they written as several deltas, arrive together."""
        arrived = [delta.at for delta in self.deltas[:1]]
        arrived += [later.at for earlier, later in pairwise(self.deltas) if later.at - earlier.at >= _TOGETHER]
        return [Gap(earlier, later) for earlier, later in pairwise(arrived)]

    def record(self) -> dict[str, Any]:
        """For the JSON file. Delta times count from the request's beginning."""
        return {
            "began": self.began,
            "seconds": self.ended - self.began if self.ended else None,
            "deltas": [round(delta.at - self.began, 6) for delta in self.deltas],
            "usage": self.usage,
            "cache": self.cache,
            "finish_reason": self.finish_reason,
        }


class Client:
    """Requests to one server, each on a connection of its own: mlx_lm.server closes them after each answer."""

    def __init__(self, name: str, url: str, model: str, process: ServerProcess | None = None) -> None:
        self.name = name
        self._process = process
        self._url = url
        self._model = model

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=600),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def memory(self) -> int:
        """Returns the bytes that are the server's own, see ``ServerProcess``. Raises ``BenchmarkError`` if it was not started here."""
        if self._process is None:
            raise BenchmarkError(f"nobody knows the processes of {self.name}")
        return self._process.memory()

    async def ask(self, ask: Ask, answer: Answer | None = None) -> Answer:
        """Stream it to its end into ``answer`` (a new one if none is given). Raises ``BenchmarkError`` if there is no end."""
        answer = answer or Answer()
        body = msgspec.json.encode(ask.body(self._model))
        answer.began = time.perf_counter()
        try:
            async with self._session.post(self._url + ask.path, data=body, headers={"Content-Type": "application/json"}) as response:
                if response.status != 200:
                    raise BenchmarkError(f"{self.name} answered {response.status}: {(await response.text())[:500]}")
                answer.cache = response.headers.get(CACHE_HEADER)
                await self._read(response.content, answer)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BenchmarkError(f"{self.name} broke off: {type(error).__name__}: {error}") from error
        return answer

    async def _read(self, lines: aiohttp.StreamReader, answer: Answer) -> None:
        async for line in lines:
            at = time.perf_counter()
            if not line.startswith(b"data:"):  # blank, or a comment that keeps the connection alive
                continue
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                answer.ended = at
                return
            self._take(msgspec.json.decode(data), at, answer)
        raise BenchmarkError(f"{self.name} ended a stream without [DONE]")

    def _take(self, chunk: dict[str, Any], at: float, answer: Answer) -> None:
        if "error" in chunk:
            raise BenchmarkError(f"{self.name} failed: {chunk['error']}")
        for choice in chunk.get("choices") or []:
            text = choice.get("text") or (choice.get("delta") or {}).get("content")
            if text:
                answer.deltas.append(Delta(at, text))
            answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
        answer.usage = chunk.get("usage") or answer.usage
