"""Who is served when: the queue, priorities, requests that are taken back, and what heartbeats tell of it."""

import asyncio
import random

import msgspec
import pytest

from mlxd.types import BlockFigures, EntryFigures
from mlxd.wire.events import Failed, Finished, Started
from mlxd.wire.messages import Abort, Events, Heartbeat, Ready
from tests.support.tiny_model import EOS
from tests.worker.requests.shared_worker import idle, reconfigure
from tests.worker.worker_link import generate

pytestmark = [pytest.mark.usefixtures("proved_once"), pytest.mark.asyncio(loop_scope="module")]


async def test_the_queue_refuses_beyond_its_limit_and_serves_the_rest_in_order(one_by_one):
    link = one_by_one
    await reconfigure(link, max_sequences=1, max_queue=2)
    link.send(*(generate(name, [3] * 100, max_tokens=2) for name in "abcd"))
    refused = await link.ended("d")
    assert refused.error.code == "queue_full"
    assert refused.error.retry_after > 0
    for name in "abc":
        assert isinstance(await link.ended(name), Finished)
    order = [event.id for message in link.of(Events) for event in message.events if isinstance(event, Finished)]
    assert order == ["a", "b", "c"]


async def test_with_no_queue_a_client_that_waits_for_its_answers_is_never_refused(link):
    await reconfigure(link, max_queue=0, max_sequences=1)
    for number in range(16):
        stop = ["X"] if number % 2 else []  # a stop string ends a request before the engine knows
        last = await link.ask(f"r{number}", f"request {number}", max_tokens=2, stop=stop, logit_bias={ord("X"): 100.0})
        assert isinstance(last, Finished)


async def test_cancelled_in_the_queue_it_never_starts(one_by_one):
    link = one_by_one
    link.send(generate("a", [3] * 300, max_tokens=200, logit_bias={EOS: -100.0}), generate("b", [4]), generate("c", [5]))
    await link.started("a")
    link.send(Abort(id="b"), Abort(id="a"))
    await link.ended("c")
    assert not link.events["b"]
    assert not any(isinstance(event, Finished | Failed) for event in link.events["a"])


async def test_cancelled_in_the_same_breath_it_never_starts(link):
    link.send(generate("a", "hi", max_tokens=400), Abort(id="a"), generate("b", "hi"))
    await link.ended("b")
    assert not link.events["a"]


async def test_cancelled_in_prefill_it_stops_within_a_chunk(one_by_one):
    link = one_by_one
    await reconfigure(link, max_sequences=1, step_tokens=64)
    link.send(generate("a", [3] * 8000))
    await link.until(lambda: sum(message.step is not None for message in link.of(Events)) >= 2)
    link.send(Abort(id="a"))
    link.send(generate("b", [9], max_tokens=1))
    await link.ended("b")
    computed = sum(message.step.tokens for message in link.of(Events) if message.step is not None)
    assert computed < 4000
    assert [type(event) for event in link.events["a"]] == [Started]


async def test_cancelled_in_decode_it_stops_within_a_step(one_by_one):
    link = one_by_one
    link.send(generate("a", [3], max_tokens=10_000, logit_bias={EOS: -100.0}))
    await link.first_token("a")
    link.send(Abort(id="a"))
    assert isinstance(await link.ask("b", [9], max_tokens=1), Finished)
    assert link.tokens("a") < 1000
    assert not any(isinstance(event, Finished | Failed) for event in link.events["a"])


async def test_an_unknown_abort_is_ignored(link):
    link.send(Abort(id="never"))
    assert isinstance(await link.ask("a", "hi"), Finished)


async def test_heartbeats_tell_who_runs_who_waits_and_what_is_held(one_by_one, mode):
    link = one_by_one
    (ready,) = link.of(Ready)
    await reconfigure(link, max_sequences=1, step_tokens=64)
    link.send(*(generate(name, [3] * 8000, max_tokens=1) for name in "abc"))
    await link.until(lambda: any(beat.running == 1 and beat.waiting == 2 and beat.busy_seconds > 0 for beat in link.of(Heartbeat)))
    await link.until(lambda: any(beat.running == 1 and beat.steps > 2 and beat.memory.kv > 0 for beat in link.of(Heartbeat)))
    link.send(*(Abort(id=name) for name in "abc"))
    await link.until(lambda: idle(link.of(Heartbeat)[-1]))
    beat = link.of(Heartbeat)[-1]
    assert beat.memory.weights == ready.weight_bytes
    assert beat.memory.mlx_active >= ready.weight_bytes
    assert beat.memory.rss > ready.weight_bytes
    assert beat.cache.bytes_cached > 0
    assert beat.cache.bytes_used == 0
    assert isinstance(beat.cache.kept, BlockFigures if mode == "paged" else EntryFigures)
    assert (beat.cache.kept.cached if mode == "paged" else beat.cache.kept.count) > 0


async def test_hundreds_of_requests_aborts_among_them_each_end_exactly_once(link):
    chance = random.Random(3)  # noqa: S311  a fixed sequence, no secret
    aborted = {f"r{number}" for number in range(100) if chance.random() < 0.3}
    for batch in range(0, 100, 10):
        names = [f"r{number}" for number in range(batch, batch + 10)]
        for name in names:
            link.send(generate(name, f"prompt {chance.randrange(30)}", max_tokens=chance.randrange(1, 6)))
            if name in aborted:
                link.send(Abort(id=name))
        await asyncio.gather(*(link.ended(name) for name in names if name not in aborted))
    for number in range(100):
        ends = [event for event in link.events[f"r{number}"] if isinstance(event, Finished | Failed)]
        assert len(ends) <= 1
        if f"r{number}" not in aborted:
            assert isinstance(ends[0], Finished)
    await link.until(lambda: link.of(Heartbeat)[-1].running == link.of(Heartbeat)[-1].waiting == 0)


async def test_a_lower_priority_number_goes_first(one_by_one):
    link = one_by_one
    link.send(generate("running", [3] * 50, max_tokens=30, logit_bias={EOS: -100.0}))
    await link.started("running")
    for name, priority in (("a", 0), ("b", 1), ("c", -1)):
        link.send(msgspec.structs.replace(generate(name, [5], max_tokens=1), priority=priority))
    for name in "abc":
        await link.ended(name)
    order = [event.id for message in link.of(Events) for event in message.events if isinstance(event, Finished)]
    assert order == ["running", "c", "a", "b"]
