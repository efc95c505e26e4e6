"""Vectors of many texts: how many a second, in one request, one after the other and by many clients, and what a running stream feels.

The texts have 4 to 200 words, and no two are equal. "one request" has them all; "one at a time" is a request for each, one after the
other; "16 clients" each send theirs so. Then a stream of the model that ``--model`` names runs in the same daemon, and a request with all
texts comes; gaps are the milliseconds between two arrivals of the stream's text, "alone" before that and "beside" until its last vector
is there. Exit code 1 where one of these is longer than three times ``batching.target_itl``, or the worker's memory has grown by more than
32 MiB from the first request of all texts to the last.

``--sentence-transformers PYTHON`` is an interpreter that has the library of this name; it makes vectors of the same texts, 32 at a time,
before the daemon is started.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp

from benchmarks.engine.long_prompt import gaps_around, until_pieces
from benchmarks.harness.bench import Bench, options, run
from benchmarks.harness.client import Answer, Ask, Client
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.measurements import Metric
from benchmarks.harness.progress import Progress
from benchmarks.harness.servers import MLXD, Mlxd, MlxdModel, mlxd
from benchmarks.harness.stats import percentile
from benchmarks.harness.tables import print_rows

RATE = Metric("texts a second", "1/s", "higher", digits=1)
WAIT = Metric("a single text", "ms", "lower", digits=0)
GAP = Metric("gaps of the stream", "ms", "lower", digits=0)
HELD = Metric("held by the worker", "MiB", "lower", digits=0)
LIBRARY = "sentence-transformers"
_ENCODER = "encoder"
_CLIENTS = 16
_TIMES = 3  # target_itl
_GROWTH = 32  # MiB
_PROSE = "the a sea of old ships went north while nobody looked at maps that were drawn by hand long before any harbour had its light"

# Run by the other interpreter: directory and texts in, seconds and versions out.
_OTHER = """
import json, sys, time
import sentence_transformers, torch
order = json.load(sys.stdin)
model = sentence_transformers.SentenceTransformer(order["model"], device="cpu")
model.encode(order["texts"][:32])
began = time.perf_counter()
model.encode(order["texts"], batch_size=32)
print(json.dumps({"seconds": time.perf_counter() - began}))
"""


@dataclass(frozen=True)
class Encoder:
    """The model that makes vectors, over HTTP."""

    url: str
    session: aiohttp.ClientSession

    async def embed(self, texts: list[str]) -> float:
        """Returns the seconds that it took. Raises ``BenchmarkError`` for anything but a vector for each text."""
        began = time.perf_counter()
        body = {"model": _ENCODER, "input": texts, "encoding_format": "base64"}
        async with self.session.post(f"{self.url}/v1/embeddings", json=body) as response:
            answer = await response.json()
        if response.status != 200 or len(answer["data"]) != len(texts):
            raise BenchmarkError(f"/v1/embeddings answered {response.status}: {str(answer)[:300]}")
        return time.perf_counter() - began


async def measure(bench: Bench, progress: Progress) -> None:
    """All of it, on one daemon."""
    texts = make_texts(bench.args.texts or bench.sized(2048, 128))
    if bench.args.sentence_transformers:
        bench.measured.add(RATE, "one request", LIBRARY, len(texts) / by_library(bench.args, texts))
    models = [bench.mlxd_model(), MlxdModel(bench.args.encoder, name=_ENCODER)]
    async with mlxd(models, bench.new_directory("mlxd")) as daemon, daemon.client(models[0].name) as client:
        timeout = aiohttp.ClientTimeout(total=3600)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            encoder = Encoder(daemon.url, session)
            await encoder.embed(texts[:64])
            for number in progress.over(list(bench.rounds), lambda _: "texts alone, then beside a stream"):
                await alone(bench, encoder, texts)
                await held(bench, daemon)
                await beside(bench, client, encoder, texts, number)
                await held(bench, daemon)


def make_texts(count: int) -> list[str]:
    """Returns so many texts, the same ones in every run."""
    words, draw = _PROSE.split(), random.Random(0)  # noqa: S311 - nothing secret
    return [f"{number} " + " ".join(draw.choices(words, k=draw.randint(4, 200))) for number in range(count)]


def by_library(args: argparse.Namespace, texts: list[str]) -> float:
    """Returns the seconds that sentence-transformers takes."""
    order = json.dumps({"model": args.encoder, "texts": texts})
    done = subprocess.run([args.sentence_transformers, "-c", _OTHER], input=order, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"{LIBRARY} failed, see above")
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


async def alone(bench: Bench, encoder: Encoder, texts: list[str]) -> None:
    """In one request, one after the other, and by several clients."""
    add = bench.measured.add
    add(RATE, "one request", MLXD, len(texts) / await encoder.embed(texts))
    some = texts[: max(32, len(texts) // 8)]
    began = time.perf_counter()
    for text in some:
        await encoder.embed([text])
    add(RATE, "one at a time", MLXD, len(some) / (time.perf_counter() - began))
    began = time.perf_counter()
    await asyncio.gather(*(one_by_one(encoder, texts[first :: 4 * _CLIENTS]) for first in range(_CLIENTS)))
    sent = sum(len(texts[first :: 4 * _CLIENTS]) for first in range(_CLIENTS))
    add(RATE, f"{_CLIENTS} clients", MLXD, sent / (time.perf_counter() - began))


async def one_by_one(encoder: Encoder, texts: list[str]) -> None:
    """One client sends a text when the one before is answered."""
    for text in texts:
        await encoder.embed([text])


async def held(bench: Bench, daemon: Mlxd) -> None:
    """What the worker holds once the texts are done."""
    memory = (await daemon.admin.model(_ENCODER))["memory"]
    bench.measured.add(HELD, "after a request", MLXD, memory["held_bytes"] / 2**20)


async def beside(bench: Bench, client: Client, encoder: Encoder, texts: list[str], number: int) -> None:
    """The stream, all texts, and single ones of somebody else; the stream is hung up on at the end."""
    stream = Answer()
    ask = Ask.text(bench.prompts.text(f"stream {number}", 64), 4000)
    running = asyncio.create_task(client.ask(ask, stream))
    try:
        await until_pieces(stream, running, 32)
        sent = time.perf_counter()
        batch = asyncio.create_task(encoder.embed(texts))
        waits = [await encoder.embed([f"single {at}"]) for at in range(8)]
        bench.measured.add(RATE, "one request, beside a stream", MLXD, len(texts) / await batch)
        done = time.perf_counter()
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    before, during = gaps_around(stream, sent, done)
    if not during:
        raise BenchmarkError("the stream had ended when the texts came")
    bench.measured.add(WAIT, "beside all and a stream: p50", MLXD, 1000 * percentile(waits, 0.5))
    for name, gaps in (("alone", before), ("beside", during)):
        bench.measured.add(GAP, f"{name}: p50", MLXD, 1000 * percentile(gaps, 0.5))
        bench.measured.add(GAP, f"{name}: p95", MLXD, 1000 * percentile(gaps, 0.95))
        bench.measured.add(GAP, f"{name}: longest", MLXD, 1000 * max(gaps))
    bench.measured.keep("stream", MLXD, [stream])


def report(bench: Bench) -> int:
    """Prints what was found; returns 1 where the stream stood still for too long, or memory has grown."""
    rates = ("one request", "one at a time", f"{_CLIENTS} clients", "one request, beside a stream")
    gaps = [f"{when}: {what}" for when in ("alone", "beside") for what in ("p50", "p95", "longest")]
    shown: list[tuple[Metric, str]] = [(RATE, name) for name in rates]
    shown += [(WAIT, "beside all and a stream: p50"), *((GAP, name) for name in gaps), (HELD, "after a request")]
    rows = [[f"{metric.name}, {name}", metric.unit, *_cells(bench, metric, name)] for metric, name in shown]
    print_rows("Vectors of texts (median [least-most] over rounds)", ["", "", MLXD, LIBRARY], rows)
    longest = bench.measured.values(GAP, "beside: longest", MLXD)
    memory = bench.measured.values(HELD, "after a request", MLXD)
    stood_still = any(gap > 1000 * _TIMES * bench.args.target_itl for gap in longest)
    return int(stood_still or (len(memory) > 1 and memory[-1] - memory[0] > _GROWTH))


def _cells(bench: Bench, metric: Metric, name: str) -> list[Any]:
    spreads = [bench.measured.spread(metric, name, server) for server in (MLXD, LIBRARY)]
    return [spread.text(metric.digits) if spread else "-" for spread in spreads]


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = options(__doc__)
    parser.add_argument(
        "--encoder", default="sentence-transformers/all-MiniLM-L6-v2", metavar="SOURCE", help="the model that makes vectors"
    )
    parser.add_argument("--texts", type=int, metavar="N", help="of one request (without it: 2048, or 128 with --quick)")
    parser.add_argument("--target-itl", type=float, default=0.2, metavar="SECONDS", help="what gaps are held against (mlxd: --set)")
    parser.add_argument("--sentence-transformers", metavar="PYTHON", help="interpreter of an environment that has the library")
    return run(parser, measure, report)


if __name__ == "__main__":
    sys.exit(main())
