"""A worker without MLX that encodes: "fake/embeds" makes vectors, "fake/reranks" scores; all else is as in ``fake_worker``.

``vector_of`` and ``score_of`` say what it makes, so that a test can tell whether it got what is its own. A token is a word. What it makes
comes a few texts at a time, the last ones first, as a worker that batches by length may send it.
"""

import asyncio
import hashlib
import socket
import struct
import sys
from pathlib import Path

import msgspec

from mlxd.types import FinishReason, Task, Timings, Usage
from mlxd.wire.encoding_facts import EncodingFacts
from mlxd.wire.events import Embedded, Finished, Scored, Started
from mlxd.wire.jobs import Embed, Score
from mlxd.wire.messages import Events, StepStats
from tests.support import fake_worker
from tests.support.wire_requests import prompt_text

COMMAND = (sys.executable, str(Path(__file__).resolve()))
EMBEDS, RERANKS = SOURCES = ("fake/embeds", "fake/reranks")
DIMENSION = 12
FACTS = {
    EMBEDS: EncodingFacts(most_tokens=2048, dimension=DIMENSION, least_dimension=1, pooling="mean"),
    RERANKS: EncodingFacts(most_tokens=2048, scores="sigmoid"),
}
TASKS = {EMBEDS: Task.EMBED, RERANKS: Task.RERANK}
_AT_ONCE = 3


def vector_of(text: str) -> list[float]:
    """Returns the vector of a text, or of tokens as words: numbers of float32 that few digits do not hold."""
    digest = hashlib.blake2b(text.encode(), digest_size=4 * DIMENSION).digest()
    whole = struct.unpack(f"<{DIMENSION}i", digest)
    return list(struct.unpack(f"<{DIMENSION}f", struct.pack(f"<{DIMENSION}f", *(number / 2**31 for number in whole))))


def score_of(query: str, document: str) -> float:
    """Returns the share of a query's words that a document has, as float32 holds it."""
    words = set(query.split())
    [score] = struct.unpack("<f", struct.pack("<f", len(words & set(document.split())) / len(words)))
    return score


class EncodingWorker(fake_worker.FakeWorker):
    def ready(self, load):
        facts = {"tasks": (TASKS[load.source],), "encoding": FACTS[load.source], "runner": "encoder"}
        return msgspec.structs.replace(super().ready(load), **facts)

    def act(self, message):
        if isinstance(message, Embed | Score):
            self.requests[message.id] = asyncio.create_task(self.encode(message))
        else:
            super().act(message)

    async def encode(self, job):
        try:
            texts = [prompt_text(one) for one in job.inputs] if isinstance(job, Embed) else job.pairs
            tokens = sum(len(_words(one)) for one in texts)
            self.started.add(job.id)
            self.event(Started(id=job.id, prompt_tokens=tokens, cached_tokens=0, cache=None))
            for start in reversed(range(0, len(texts), _AT_ONCE)):
                places = range(start, min(start + _AT_ONCE, len(texts)))
                self.send(Events(events=[_made(job, texts, places)], step=_stats([texts[place] for place in places])))
                await asyncio.sleep(0)
            usage = Usage(prompt_tokens=tokens, completion_tokens=0, cached_tokens=0)
            timings = Timings(queue=0.001, prefill=0.002, decode=0.0)
            self.event(Finished(id=job.id, parts=[], tokens=0, reason=FinishReason.STOP, usage=usage, timings=timings))
        finally:
            self.requests.pop(job.id, None)
            self.started.discard(job.id)


def _words(one):
    return one.split() if isinstance(one, str) else f"{one.query} {one.document}".split()


def _stats(texts):
    tokens = sum(len(_words(one)) for one in texts)
    return StepStats(seconds=0.001, tokens=tokens, rows=len(texts), prompt_tokens=tokens, texts=len(texts))


def _made(job, texts, places):
    if isinstance(job, Score):
        return Scored(id=job.id, places=[*places], scores=[score_of(texts[place].query, texts[place].document) for place in places])
    width = job.dimensions or DIMENSION
    vectors = b"".join(struct.pack(f"<{width}f", *vector_of(texts[place])[:width]) for place in places)
    return Embedded(id=job.id, places=[*places], vectors=vectors)


if __name__ == "__main__":
    fake_worker._is_process = True
    asyncio.run(EncodingWorker().serve(socket.socket(fileno=int(sys.argv[-1]))))
