"""What a worker does with messages that come before its model is ready."""

import pytest

from mlxd.disk_terms import DiskSettings
from mlxd.types import Limits
from mlxd.wire.events import Failed, Finished
from mlxd.wire.messages import (
    Abort,
    CacheEvicted,
    Detokenize,
    EvictCache,
    Heartbeat,
    NeedsMemory,
    Proceed,
    Ready,
    Reconfigure,
    Reconfigured,
    Tokenize,
    Unreadable,
)
from mlxd.wire.prompts import TextPrompt
from tests.worker.worker_link import LIMITS, MODES, generate, in_thread, load_message


@pytest.fixture
async def loading(scripted):
    """A worker that waits for memory, for as long as the test wants."""
    async with in_thread() as link:
        link.permits = False
        link.send(load_message(scripted))
        await link.until(lambda: link.of(NeedsMemory))
        yield link


async def finish_loading(link):
    link.send(Proceed())
    await link.until(lambda: link.of(Ready))


def limits(**changes):
    return Limits(**(LIMITS | changes))


async def test_a_request_that_comes_early_is_refused_by_name(loading):
    refused = await loading.ask("early", "hi")
    assert isinstance(refused, Failed)
    assert (refused.error.code, refused.error.retry_after) == ("model_loading", 1.0)
    await finish_loading(loading)
    assert isinstance(await loading.ask("later", "hi"), Finished)
    assert loading.events["early"] == [refused]


async def test_a_question_about_tokens_that_comes_early_is_refused_by_name(loading):
    loading.send(Tokenize(id="q", prompt=TextPrompt(text="a")), Detokenize(id="r", token_ids=[1]))
    await loading.until(lambda: len(loading.of(Unreadable)) == 2)
    assert {(refused.id, refused.error.code) for refused in loading.of(Unreadable)} == {("q", "model_loading"), ("r", "model_loading")}


async def test_a_request_before_the_order_to_load_is_refused_too(scripted):
    async with in_thread() as link:
        assert (await link.ask("early", "hi")).error.code == "model_loading"
        assert isinstance(await link.load(scripted), Ready)
        assert isinstance(await link.ask("later", "hi"), Finished)


async def test_requests_sent_together_with_the_order_have_one_answer_each(scripted):
    async with in_thread() as link:
        link.send(load_message(scripted), *(generate(f"r{number}", "hi") for number in range(5)))
        await link.until(lambda: link.of(Ready))
        await link.ask("last", "hi")
        assert [[type(event) for event in link.events[f"r{number}"]] for number in range(5)] == [[Failed]] * 5


async def test_an_early_request_may_be_aborted_and_its_id_used_again(loading):
    loading.send(generate("a", "hi"), Abort(id="a"))
    await finish_loading(loading)
    loading.send(generate("a", "hi"))
    await loading.until(lambda: any(isinstance(event, Finished) for event in loading.events["a"]))


async def test_new_limits_that_come_early_are_applied_once_the_model_is_ready_and_the_last_count(loading):
    loading.send(Reconfigure(limits=limits(max_queue=3)), Reconfigure(limits=limits(max_queue=1, stream_interval=4)))
    await finish_loading(loading)
    await loading.until(lambda: len(loading.of(Reconfigured)) == 2)
    last = loading.of(Reconfigured)[-1].limits
    assert (last.max_queue, last.stream_interval) == (1, 4)
    ready, applied = (loading.messages.index(loading.of(kind)[0]) for kind in (Ready, Reconfigured))
    assert ready < applied
    assert (await loading.ask("a", "hi", max_tokens=5)).usage.completion_tokens == 5
    assert [event.tokens for event in loading.events["a"] if hasattr(event, "tokens")] == [1, 4, 0]


async def test_to_evict_an_empty_cache_is_answered_at_once(loading):
    loading.send(EvictCache())
    await loading.until(lambda: loading.of(CacheEvicted))
    assert loading.of(CacheEvicted) == [CacheEvicted(entries=0, bytes=0)]


async def test_a_second_order_to_load_changes_nothing(loading, scripted):
    loading.send(load_message(scripted, max_queue=1))
    await finish_loading(loading)
    await loading.next(Heartbeat)
    assert len(loading.of(Ready)) == 1
    assert loading.of(Ready)[0].limits.max_queue == LIMITS["max_queue"]


async def test_early_messages_do_not_keep_a_failed_load_from_ending(tmp_path):
    async with in_thread() as link:
        link.send(load_message(tmp_path / "nowhere"), generate("a", "hi"), Reconfigure(limits=limits(max_queue=1)))
        await link.until(lambda: link.closed)
        assert isinstance(link.events["a"][0], Failed)
        assert link.of(Reconfigured) == []


async def test_figures_come_before_whoever_was_answered_looks_at_them(tiny):
    def behind(kind):
        position = link.messages.index(link.of(kind)[-1])
        return next(message for message in reversed(link.messages[:position]) if isinstance(message, Heartbeat))

    async with in_thread() as link:
        await link.load(tiny, heartbeat_interval=3600, **MODES["paged"])
        assert behind(Ready).memory.weights > 0
        before = behind(Ready).cache.limit_bytes
        await link.ask("a", "hi")
        link.send(Reconfigure(limits=limits(cache_bytes=2**20)))
        await link.next(Reconfigured)
        told = behind(Reconfigured).cache
        assert told.limit_bytes < before
        assert told.bytes_cached > 0
        link.send(EvictCache())
        await link.next(CacheEvicted)
        assert behind(CacheEvicted).cache.bytes_cached == 0


async def test_what_may_wait_to_be_written_to_disk_is_asked_for_too(tiny, tmp_path):
    needs = []
    for disk in (None, DiskSettings(path=str(tmp_path), limit=2**30)):
        async with in_thread() as link:
            link.permits = False
            link.send(load_message(tiny, disk=disk, **MODES["paged"]))
            needs.append(await link.next(NeedsMemory))
    assert [one.disk for one in needs] == [0, 128 * 2**20]
    assert needs[1].total - needs[1].process == needs[0].total - needs[0].process + needs[1].disk
