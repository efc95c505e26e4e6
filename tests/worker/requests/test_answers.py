"""Answers through the whole worker: their text, their end, their tokens, and what the cache has of their prompts."""

import pytest

from mlxd.types import CacheOutcome, ChatMessage, FinishReason
from mlxd.wire.events import Delta, Failed, Finished, Started
from mlxd.wire.messages import Events
from mlxd.wire.prompts import ChatPrompt
from tests.support.tiny_model import EOS, VOCAB
from tests.worker.conftest import SCRIPT
from tests.worker.worker_link import MODES, in_thread, text

pytestmark = [pytest.mark.usefixtures("proved_once"), pytest.mark.asyncio(loop_scope="module")]


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
    later = sum(step.inter_token is not None for step in steps)  # a step gives a token, and the guesses that were right
    assert later + last.usage.accepted_tokens == last.usage.completion_tokens - 1
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
    for length in (1, 127, 128, 129, 130, 257):
        prompt = [token % 251 for token in range(length, 2 * length)]
        cold = await link.ask(f"cold{length}", prompt)
        warm = await link.ask(f"warm{length}", prompt)
        assert link.text(f"cold{length}") == link.text(f"warm{length}")
        assert warm.usage.cached_tokens == length - 1
        assert cold.usage.prompt_tokens == length
