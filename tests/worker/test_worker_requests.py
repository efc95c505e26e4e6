"""Requests through the whole worker, in a thread of this process: ``run_worker`` on a socketpair."""

import asyncio
import random

import msgspec
import pytest
import pytest_asyncio

from mlxd.types import BlockFigures, CacheOutcome, ChatMessage, EntryFigures, FinishReason, Limits
from mlxd.wire.messages import Abort, Delta, Events, Failed, Finished, Heartbeat, Reconfigure, Reconfigured, Started
from mlxd.wire.prompts import ChatPrompt
from tests.support.tiny_model import EOS, VOCAB
from tests.support.wire_requests import resolved
from tests.worker.conftest import SCRIPT
from tests.worker.worker_link import LIMITS, MODES, generate, in_thread, text

pytestmark = pytest.mark.usefixtures("proved_once")


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


@pytest_asyncio.fixture
async def link(tiny, mode):
    async with in_thread() as link:
        await link.load(tiny, **MODES[mode])
        yield link


@pytest_asyncio.fixture
async def speaker(scripted, mode):
    async with in_thread() as link:
        await link.load(scripted, **MODES[mode])
        yield link


async def test_a_chat_answers_and_ends_at_the_end_token(speaker):
    last = await speaker.ask("a", "hi", max_tokens=None)
    assert speaker.text("a") == SCRIPT
    assert last.reason is FinishReason.STOP
    assert last.usage.completion_tokens == len(SCRIPT.encode()) + 1  # the end token counts
    assert speaker.tokens("a") == last.usage.completion_tokens
    assert last.usage.prompt_tokens == len("user\nhi\nassistant\n") + 3
    kinds = [type(event) for event in speaker.events["a"]]
    assert kinds[0] is Started
    assert kinds[-1] is Finished
    assert set(kinds[1:-1]) == {Delta}


async def test_no_delta_splits_a_character(speaker):
    await speaker.ask("a", "hi", max_tokens=None)
    assert all("\ufffd" not in event.text for event in speaker.events["a"] if isinstance(event, Delta | Finished))


async def test_an_answer_cut_inside_a_character_says_so_at_the_end_only(speaker):
    last = await speaker.ask("a", "hi", max_tokens=3)  # "ab" and the first of three bytes
    assert speaker.text("a") == "ab\ufffd"
    assert last.reason is FinishReason.LENGTH
    assert last.usage.completion_tokens == 3


@pytest.mark.parametrize("stop", ["☃é", "b☃", "日", "cd", "a"])
async def test_a_stop_string_ends_the_answer_and_never_shows(speaker, stop):
    last = await speaker.ask("a", "hi", max_tokens=None, stop=["nowhere", stop])
    assert speaker.text("a") == SCRIPT[: SCRIPT.index(stop)]
    assert (last.reason, last.matched_stop) == (FinishReason.STOP, stop)
    assert last.usage.completion_tokens == len(SCRIPT[: SCRIPT.index(stop) + len(stop)].encode())
    assert speaker.tokens("a") == last.usage.completion_tokens


async def test_the_beginning_of_a_stop_string_is_not_lost_at_the_end(speaker):
    await speaker.ask("a", "hi", max_tokens=None, stop=["cdX"])
    assert speaker.text("a") == SCRIPT


async def test_stream_interval_groups_tokens_but_the_first_comes_at_once(scripted, mode):
    async with in_thread() as link:
        await link.load(scripted, stream_interval=4, **MODES[mode])
        await link.ask("a", "hi", max_tokens=None)
        assert link.text("a") == SCRIPT
        deltas = [event.tokens for event in link.events["a"] if isinstance(event, Delta)]
        assert deltas == [1, 4, 4]


async def test_one_frame_per_step(speaker):
    last = await speaker.ask("a", "hi", max_tokens=None)
    steps = [message.step for message in speaker.of(Events) if message.step is not None]
    computed = sum(step.tokens for step in steps) - last.usage.rejected_tokens
    assert 0 <= computed - (last.usage.prompt_tokens - 1 + last.usage.completion_tokens) <= 1  # one step ahead
    assert steps[0].inter_token is None
    assert sum(step.inter_token is not None for step in steps) == last.usage.completion_tokens - 1
    assert all(step.rows == 1 for step in steps)


async def test_the_second_identical_request_is_a_hit_with_the_same_answer(link):
    first = await link.ask("a", "the same words")
    second = await link.ask("b", "the same words")
    assert (await link.started("a")).cache is CacheOutcome.MISS
    started = await link.started("b")
    assert started.cache is CacheOutcome.HIT
    assert started.cached_tokens == started.prompt_tokens - 1 == second.usage.cached_tokens
    assert link.text("a") == link.text("b")
    assert first.usage.completion_tokens == second.usage.completion_tokens


async def test_the_next_turn_finds_the_history_answer_included(speaker, mode):
    await speaker.ask("a", "hi", max_tokens=None)
    history = [("user", "hi"), ("assistant", SCRIPT), ("user", "and now?")]
    await speaker.ask("b", ChatPrompt(messages=[ChatMessage(role=role, content=content) for role, content in history]), max_tokens=None)
    started, earlier = await speaker.started("b"), await speaker.started("a")
    assert started.cache is CacheOutcome.PREFIX_HIT
    end_token = 0 if mode == "paged" else 1  # what the step behind the end computes is not kept
    assert started.cached_tokens == earlier.prompt_tokens + len(SCRIPT.encode()) + end_token
    assert speaker.text("b") == SCRIPT


async def test_a_prompt_equal_to_an_earlier_one_and_its_answer(link):
    """Everything of it may be cached; its last token is computed all the same. (mlx_lm.server's generation ends for good.)"""
    prompt, bias = [1, 2, 3, 4, 5], {ord("z"): 100.0}
    await link.ask("a", prompt, max_tokens=4, logit_bias=bias)
    history = prompt + [ord("z")] * 4
    for name in "bc":
        last = await link.ask(name, history, max_tokens=3, logit_bias=bias)
        assert link.text(name) == "zzz"
        assert 0 < last.usage.cached_tokens < len(history)


@pytest.mark.parametrize("batching", ["simple", "continuous"])
async def test_without_a_cache_nothing_is_said_of_it(tiny, batching):
    async with in_thread() as link:
        await link.load(tiny, mode=batching, cache_kind="none")
        await link.ask("a", "twice")
        last = await link.ask("b", "twice")
        assert (await link.started("b")).cache is None
        assert last.usage.cached_tokens == 0


async def test_a_seed_reproduces_and_another_does_not(link):
    for name, seed in [("a", 5), ("b", 5), ("c", 6)]:
        await link.ask(name, "draw", temperature=1.0, seed=seed, max_tokens=24)
    assert link.text("a") == link.text("b")
    assert link.text("a") != link.text("c")


async def test_without_a_seed_draws_differ(link):
    for name in "ab":
        await link.ask(name, "draw", temperature=1.5, max_tokens=24)
    assert link.text("a") != link.text("b")


async def test_logit_bias_decides(link):
    await link.ask("a", "hi", logit_bias={ord("z"): 100.0}, max_tokens=3)
    assert link.text("a") == "zzz"


@pytest.mark.parametrize("token", [VOCAB, 10**9, -1])
async def test_logit_bias_outside_the_vocabulary_is_refused(link, token):
    last = await link.ask("a", "hi", logit_bias={token: 5.0})
    assert isinstance(last, Failed)
    assert last.error.code == "invalid_request"
    assert last.error.param == "logit_bias"
    assert isinstance(await link.ask("b", "hi"), Finished)


async def test_what_cannot_fit_is_refused_before_anything_is_computed(link):
    last = await link.ask("a", [1] * 512)
    assert last.error.code == "context_length_exceeded"
    assert "512" in last.error.message
    assert not any(message.step for message in link.of(Events))
    assert [type(event) for event in link.events["a"]] == [Failed]


async def test_the_end_of_the_context_ends_the_answer(link):
    last = await link.ask("a", [1] * 508, max_tokens=None, logit_bias={EOS: -100.0})
    assert last.reason is FinishReason.LENGTH
    assert last.usage.completion_tokens == 4


async def test_context_length_is_obeyed(tiny):
    async with in_thread() as link:
        assert (await link.load(tiny, context_length=64)).context_length == 64
        assert (await link.ask("a", [1] * 64)).error.code == "context_length_exceeded"
    async with in_thread() as link:
        assert (await link.load(tiny, context_length=1000)).context_length == 1000
        assert (await link.ask("a", [1] * 600, max_tokens=1)).reason is FinishReason.LENGTH


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ([], "prompt"),
        ([VOCAB], "prompt"),
        (ChatPrompt(messages=[ChatMessage(role="user", content="a", name="nobody")]), "messages"),
    ],
)
async def test_a_bad_prompt_is_the_clients_mistake_and_nothing_else_happens(link, prompt, param):
    last = await link.ask("a", prompt)
    assert (last.error.code, last.error.param) == ("invalid_request", param)
    assert isinstance(await link.ask("b", text("good")), Finished)


async def test_prompts_around_the_chunk_size_give_the_same_tokens_cold_and_warm(link):
    for length in (1, 2, 127, 128, 129, 130, 255, 256, 257):
        prompt = [token % 251 for token in range(length, 2 * length)]
        cold = await link.ask(f"cold{length}", prompt)
        warm = await link.ask(f"warm{length}", prompt)
        assert link.text(f"cold{length}") == link.text(f"warm{length}")
        assert warm.usage.cached_tokens == length - 1
        assert cold.usage.prompt_tokens == length


async def test_the_queue_refuses_beyond_its_limit_and_serves_the_rest_in_order(slow, mode):
    async with in_thread() as link:
        await link.load(slow, max_queue=2, max_sequences=1, **MODES[mode])
        link.send(*(generate(name, [3] * 600, max_tokens=2) for name in "abcd"))
        refused = await link.ended("d")
        assert refused.error.code == "queue_full"
        assert refused.error.retry_after > 0
        for name in "abc":
            assert isinstance(await link.ended(name), Finished)
        order = [event.id for message in link.of(Events) for event in message.events if isinstance(event, Finished)]
        assert order == ["a", "b", "c"]


async def test_with_no_queue_a_client_that_waits_for_its_answers_is_never_refused(tiny, mode):
    async with in_thread() as link:
        await link.load(tiny, max_queue=0, max_sequences=1, **MODES[mode])
        for number in range(50):
            stop = ["X"] if number % 2 else []  # a stop string ends a request before the engine knows
            last = await link.ask(f"r{number}", f"request {number}", max_tokens=2, stop=stop, logit_bias={ord("X"): 100.0})
            assert isinstance(last, Finished)


async def test_cancelled_in_the_queue_it_never_starts(slow, mode):
    async with in_thread() as link:
        await link.load(slow, max_sequences=1, **MODES[mode])
        link.send(generate("a", [3] * 1000, max_tokens=200), generate("b", [4]), generate("c", [5]))
        await link.started("a")
        link.send(Abort(id="b"), Abort(id="a"))
        await link.ended("c")
        assert not link.events["b"]
        assert not any(isinstance(event, Finished | Failed) for event in link.events["a"])


async def test_cancelled_in_the_same_breath_it_never_starts(link):
    link.send(generate("a", "hi", max_tokens=400), Abort(id="a"), generate("b", "hi"))
    await link.ended("b")
    assert not link.events["a"]


async def test_cancelled_in_prefill_it_stops_within_a_chunk(slow, mode):
    async with in_thread() as link:
        await link.load(slow, max_sequences=1, **MODES[mode])
        link.send(generate("a", [3] * 8000))
        await link.until(lambda: sum(message.step is not None for message in link.of(Events)) >= 2)
        link.send(Abort(id="a"))
        link.send(generate("b", [9], max_tokens=1))
        await link.ended("b")
        computed = sum(message.step.tokens for message in link.of(Events) if message.step is not None)
        assert computed < 4000
        assert [type(event) for event in link.events["a"]] == [Started]


async def test_cancelled_in_decode_it_stops_within_a_step(slow, mode):
    async with in_thread() as link:
        await link.load(slow, max_sequences=1, **MODES[mode])
        link.send(generate("a", [3], max_tokens=10_000, logit_bias={EOS: -100.0}))
        await link.first_token("a")
        link.send(Abort(id="a"))
        assert isinstance(await link.ask("b", [9], max_tokens=1), Finished)
        assert link.tokens("a") < 1000
        assert not any(isinstance(event, Finished | Failed) for event in link.events["a"])


async def test_an_unknown_abort_is_ignored(link):
    link.send(Abort(id="never"))
    assert isinstance(await link.ask("a", "hi"), Finished)


def idle(beat):
    return beat.running == beat.waiting == beat.busy_seconds == 0


async def test_heartbeats_tell_who_runs_who_waits_and_what_is_held(slow, mode):
    async with in_thread() as link:
        ready = await link.load(slow, max_sequences=1, **MODES[mode])
        link.send(*(generate(name, [3] * 4000, max_tokens=1) for name in "abc"))
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
    aborted = {f"r{number}" for number in range(200) if chance.random() < 0.3}
    for batch in range(0, 200, 10):
        names = [f"r{number}" for number in range(batch, batch + 10)]
        for name in names:
            link.send(generate(name, f"prompt {chance.randrange(30)}", max_tokens=chance.randrange(1, 6)))
            if name in aborted:
                link.send(Abort(id=name))
        await asyncio.gather(*(link.ended(name) for name in names if name not in aborted))
    for number in range(200):
        ends = [event for event in link.events[f"r{number}"] if isinstance(event, Finished | Failed)]
        assert len(ends) <= 1
        if f"r{number}" not in aborted:
            assert isinstance(ends[0], Finished)
    await link.until(lambda: link.of(Heartbeat)[-1].running == link.of(Heartbeat)[-1].waiting == 0)


# ---- other limits while it runs ----


def limits(**changes):
    return Limits(**(LIMITS | changes))


async def reconfigure(link, **changes):
    """Other limits; what the worker answers."""
    before = len(link.of(Reconfigured))
    link.send(Reconfigure(limits=limits(**changes)))
    await link.until(lambda: len(link.of(Reconfigured)) > before)
    return link.of(Reconfigured)[-1].limits


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


async def test_a_running_stream_is_delivered_at_the_new_interval(slow, mode):
    async with in_thread() as link:
        await link.load(slow, **MODES[mode])
        link.send(generate("a", [3], max_tokens=10_000, logit_bias={EOS: -100.0}))
        await link.first_token("a")
        await reconfigure(link, stream_interval=7)
        await link.until(lambda: any(isinstance(event, Delta) and event.tokens == 7 for event in link.events["a"]))
        link.send(Abort(id="a"))


async def test_a_smaller_cache_holds_at_once(link):
    for number in range(4):
        await link.ask(f"r{number}", f"another prompt, number {number}")
    await link.until(lambda: link.of(Heartbeat)[-1].cache.bytes_cached > 8192)
    assert (await reconfigure(link, cache_bytes=8192)).cache_bytes == 8192
    await link.until(lambda: link.of(Heartbeat)[-1].cache.bytes_cached <= 8192 * 64)
    assert isinstance(await link.ask("after", "hi"), Finished)


async def test_a_share_of_the_memory_is_answered_in_bytes(link):
    assert (await reconfigure(link, cache_bytes=None, cache_fraction=0.1)).cache_bytes > 2**20


# ---- priorities ----


async def test_a_lower_priority_number_goes_first(slow, mode):
    async with in_thread() as link:
        await link.load(slow, max_sequences=1, **MODES[mode])
        link.send(generate("running", [3] * 500, max_tokens=1))
        await link.started("running")
        for name, priority in (("a", 0), ("b", 1), ("c", -1)):
            link.send(msgspec.structs.replace(generate(name, [5], max_tokens=1), priority=priority))
        for name in "abc":
            await link.ended(name)
        order = [event.id for message in link.of(Events) for event in message.events if isinstance(event, Finished)]
        assert order == ["running", "c", "a", "b"]
