"""Many requests at once, through the real daemon and the real model."""

import asyncio
from concurrent.futures import ThreadPoolExecutor, wait

import openai
import pytest

from tests.e2e.client import post, stream
from tests.e2e.conftest import CONTINUOUS

pytestmark = pytest.mark.real_model

SYSTEM = "You are a patient teacher of geography and of history. " + "Answer in one short sentence, and never guess. " * 20
QUESTIONS = ["the capital of France", "the largest ocean", "the moon", "a river in Egypt and its sources"]


@pytest.fixture
def daemon(continuous):
    return continuous


@pytest.fixture
def reloaded(daemon):
    """The same daemon with more in its file; at the end as it was."""

    def reload(more):
        assert daemon.reload(CONTINUOUS + more)[0] == 200

    yield reload
    assert daemon.reload(CONTINUOUS)[0] == 200


def ask(daemon, question, *, system="", **options):
    messages = [{"role": "system", "content": system}] * bool(system) + [{"role": "user", "content": f"Tell me about {question}."}]
    body = {"model": "smollm2", "messages": messages, "temperature": 0, "max_tokens": 8} | options
    status, headers, answer = post(daemon, "/v1/chat/completions", body)
    assert status == 200, answer
    return answer["choices"][0]["message"]["content"], answer["usage"], headers["x-mlxd-cache"]


def together(*calls):
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


def test_everybody_gets_the_answer_they_get_alone(daemon):
    """Of different lengths, with repeated and shared beginnings, sampled beside greedy ones."""
    alone = {question: ask(daemon, question)[0] for question in QUESTIONS}
    hot = [lambda seed=seed: ask(daemon, "a dream", temperature=1.5, seed=seed) for seed in range(2)]
    answers = together(*(lambda question=question: ask(daemon, question) for question in QUESTIONS), *hot)
    assert [text for text, *_ in answers[: len(QUESTIONS)]] == list(alone.values())
    metrics = daemon.metrics()
    steps_of_at_most_4 = metrics['mlxd_batch_size_bucket{le="4.0",model="smollm2"}']
    assert steps_of_at_most_4 < metrics['mlxd_batch_size_count{model="smollm2"}']


def test_ten_users_with_one_system_prompt_compute_and_hold_it_once(daemon):
    before = daemon.metrics()
    held = []

    def look():
        cache = daemon.model("smollm2")["cache"]
        held.append((cache["used_bytes"], cache["saved_bytes"], cache["blocks"]["shared"]))

    system = SYSTEM.replace("teacher", "professor")
    with ThreadPoolExecutor(10) as pool:
        running = [pool.submit(ask, daemon, f"the number {number}", system=system, max_tokens=16) for number in range(10)]
        while wait(running, timeout=0.05).not_done:
            look()
        answers = [one.result() for one in running]
    after = daemon.metrics()
    computed, cached = (
        after[f'mlxd_prompt_tokens_total{{model="smollm2",source="{source}"}}']
        - before[f'mlxd_prompt_tokens_total{{model="smollm2",source="{source}"}}']
        for source in ("computed", "cached")
    )
    shared = min(usage["prompt_tokens_details"]["cached_tokens"] for _, usage, outcome in answers if outcome != "miss")
    assert shared > 200
    assert sum(outcome == "miss" for _, _, outcome in answers) == 1
    assert cached >= 9 * shared
    assert computed <= answers[0][1]["prompt_tokens"] + 10 * 60
    used, saved, shared_blocks = max(held, key=lambda one: one[1])
    assert shared_blocks >= shared // 16
    assert used < 0.3 * (used + saved)


def tells_of_reload_and_answer(cache):
    """The daemon is shared: blocks may be cached since long before, and told of with the limit of then."""
    return cache["blocks"]["cached"] > 0 and cache["limit_bytes"] <= 2**30


def test_status_says_which_runner_and_what_the_cache_holds(daemon, reloaded):
    reloaded('cache = {memory = "1GiB"}\n')
    ask(daemon, "a lake")
    daemon.until(lambda: tells_of_reload_and_answer(daemon.model("smollm2")["cache"]), "a heartbeat tells of the reload and the answer")
    model = daemon.model("smollm2")
    compiled = model["runner"].pop("compiled")
    assert model["runner"] == {"name": "paged", "reason": "its logits over the paged cache were proved", "fallback": False}
    assert not compiled["used"]
    assert "CPU" in compiled["reason"]
    assert daemon.metrics()['mlxd_model_runner{fallback="false",model="smollm2",runner="paged"}'] == 1
    assert model["limits"]["max_sequences"] == 32
    assert 0 < model["cache"]["limit_bytes"] <= 2**30


def test_a_long_prompt_is_computed_beside_a_stream_that_goes_on(daemon, reloaded):
    """Both get on: the stream's tokens keep coming while the long prompt's chunks do, which are as long as time allows."""
    reloaded('batching = {target_itl = "50ms"}\n')
    pid = daemon.model("smollm2")["pid"]
    body = {"model": "smollm2", "prompt": "Once upon a time", "temperature": 0, "logit_bias": {"2": -100}}
    with stream(daemon, body) as running, ThreadPoolExecutor(1) as pool:
        deltas = iter(running)
        for _ in range(3):
            next(deltas)
        long = pool.submit(post, daemon, "/v1/completions", {"model": "smollm2", "prompt": "word " * 280, "max_tokens": 1})
        beside = 0
        while not long.done():
            next(deltas)
            beside += 1
        assert long.result()[0] == 200
    assert beside >= 3  # a first chunk is short, and each of the next four times as long at most, whatever the machine is at
    assert daemon.model("smollm2")["pid"] == pid


async def test_the_sdk_runs_many_streams_at_once(daemon):
    async with openai.AsyncOpenAI(base_url=f"{daemon.url}/v1", api_key="unused", max_retries=0) as client:

        async def one(number):
            chunks = await client.completions.create(model="smollm2", prompt=f"Chapter {number}", temperature=0, max_tokens=8, stream=True)
            return "".join([chunk.choices[0].text async for chunk in chunks])

        texts = await asyncio.gather(*(one(number) for number in range(6)))
    assert all(texts)
