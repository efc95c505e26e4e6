"""Other limits while a worker runs."""

import pytest

from mlxd.wire.events import Delta, Finished
from mlxd.wire.messages import Abort, Heartbeat
from tests.support.tiny_model import EOS
from tests.support.wire_requests import resolved
from tests.worker.requests.shared_worker import limits, reconfigure
from tests.worker.worker_link import LIMITS, generate

SMALLER = 16384  # bytes: the blocks of one request

pytestmark = [pytest.mark.usefixtures("proved_once"), pytest.mark.asyncio(loop_scope="module")]


async def test_limits_change_while_it_runs_and_the_answer_says_what_holds(link, mode):
    changes = {"max_queue": 0, "stream_interval": 3, "max_sequences": 1}
    assert await reconfigure(link, **changes) == resolved(limits(**changes))
    await link.ask("a", "hi", max_tokens=6, logit_bias={EOS: -100.0})
    assert [event.tokens for event in link.events["a"] if isinstance(event, Delta)] == [1, 3]
    link.send(*(generate(name, [3] * 200, max_tokens=100, logit_bias={EOS: -100.0}) for name in "bc"))
    refused = await link.ended("c")
    assert refused.error.code == "queue_full"
    await link.ended("b")
    assert (await reconfigure(link)).max_queue == LIMITS["max_queue"]


async def test_a_running_stream_is_delivered_at_the_new_interval(slow_link):
    link = slow_link
    link.send(generate("a", [3], max_tokens=10_000, logit_bias={EOS: -100.0}))
    await link.first_token("a")
    await reconfigure(link, stream_interval=7)
    await link.until(lambda: any(isinstance(event, Delta) and event.tokens == 7 for event in link.events["a"]))
    link.send(Abort(id="a"))


async def test_a_smaller_cache_holds_at_once(link):
    for number in range(4):
        await link.ask(f"r{number}", f"another prompt, number {number}")
    await link.until(lambda: link.of(Heartbeat)[-1].cache.bytes_cached > SMALLER)
    assert (await reconfigure(link, cache_bytes=SMALLER)).cache_bytes == SMALLER
    await link.until(lambda: link.of(Heartbeat)[-1].cache.bytes_cached <= SMALLER)
    assert isinstance(await link.ask("after", "hi"), Finished)


async def test_a_share_of_the_memory_is_answered_in_bytes(link):
    assert (await reconfigure(link, cache_bytes=None, cache_fraction=0.1)).cache_bytes > 2**20
