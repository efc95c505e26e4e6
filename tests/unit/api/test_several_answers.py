"""Several answers to one request: choices, prompts, the best of some; usage, ids, the log, failures."""

import asyncio

import pytest
import structlog

from mlxd.errors import ContextLengthError, QueueFullError
from mlxd.types import CacheOutcome, ResolvedLimits
from tests.support.fake_registry import echo
from tests.support.patience import PATIENCE
from tests.unit.api.conftest import HELLO, sse_data

PATH = "/v1/completions"
ONCE = {"model": "tiny", "prompt": "once upon"}


def numbered(request):
    """Says its number; the later ones find the prompt that the first computed."""
    number = int(request.generate.id.rpartition("-")[2])
    request.started(cached_tokens=4 if number else 0, cache=CacheOutcome.PREFIX_HIT if number else CacheOutcome.MISS)
    request.delta(f"{number}", tokens=number + 1)
    request.finish()


async def test_a_chat_of_three_choices(server):
    server.worker.script = numbered
    status, body, headers = await server.answer(HELLO | {"n": 3, "seed": 5})
    assert (status, headers["x-mlxd-cache"]) == (200, "miss")
    assert [(choice["index"], choice["message"]["content"]) for choice in body["choices"]] == [(0, "0"), (1, "1"), (2, "2")]
    assert body["usage"]["prompt_tokens"] == 7
    assert body["usage"]["completion_tokens"] == 6
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 0, "what the choices share was computed once, for them"
    assert [request.generate.id for request in server.worker.submitted] == [f"{body['id']}-{number}" for number in range(3)]
    seeds = [request.generate.sampling.seed for request in server.worker.submitted]
    assert seeds[0] == 5
    assert len(set(seeds)) == 3


async def test_a_stream_of_choices_tells_each_to_its_end(server):
    server.worker.script = numbered
    async with server.post(HELLO | {"n": 3, "stream": True, "stream_options": {"include_usage": True}}) as response:
        *chunks, usage, done = sse_data(await response.text())
    assert done == "[DONE]"
    told = {index: [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index] for index in range(3)}
    for index, choices in told.items():
        assert [choice["delta"].get("role") for choice in choices] == ["assistant", None]
        assert "".join(choice["delta"].get("content", "") for choice in choices) == str(index)
        assert [choice["finish_reason"] for choice in choices] == [None, "stop"]
    assert (usage["choices"], usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == ([], 7, 6)
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_a_list_of_prompts_with_two_choices_each(server):
    server.worker.script = echo
    status, body, _ = await server.answer(ONCE | {"prompt": ["a b", [5, 6], "c"], "n": 2}, PATH)
    assert status == 200
    texts = ["a b ", "a b ", "tokens ", "tokens ", "c ", "c "]
    assert [(choice["index"], choice["text"]) for choice in body["choices"]] == list(enumerate(texts))
    assert body["usage"]["prompt_tokens"] == 21


async def test_the_best_of_several_by_probability_per_token(server):
    def script(request):
        number = int(request.generate.id.rpartition("-")[2])
        assert request.generate.output.logprobs == 0
        request.started()
        request.delta(f"{number}", tokens=2)
        request.finish(cumulative=-abs(number - 2.0))

    server.worker.script = script
    status, body, _ = await server.answer(ONCE | {"n": 2, "best_of": 4, "prompt": ["a"]}, PATH)
    assert status == 200
    assert [(choice["index"], choice["text"], choice["logprobs"]) for choice in body["choices"]] == [(0, "2", None), (1, "1", None)]
    assert body["usage"]["completion_tokens"] == 8, "of all that were made"


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"n": 0}, "n", "invalid_request"),
        ({"n": 129}, "n", "invalid_request"),
        ({"n": 1.5}, "n", "invalid_request"),
        ({"n": "2"}, "n", "invalid_request"),
        ({"n": True}, "n", "invalid_request"),
        ({"n": 3, "best_of": 2}, "best_of", "invalid_request"),
        ({"best_of": 2, "stream": True}, "best_of", "invalid_request"),
        ({"best_of": 128, "prompt": ["a"] * 17}, "best_of", "invalid_request"),
        ({"n": 128, "prompt": ["a"] * 17}, "n", "invalid_request"),
        ({"prompt": ["a"] * 2049}, "prompt", "invalid_request"),
        ({"prompt": ["a", ""]}, "prompt[1]", "invalid_request"),
        ({"prompt": [[1], []]}, "prompt[1]", "invalid_request"),
        ({"prompt": ["a", 5]}, "prompt[1]", "invalid_request"),
        ({"prompt": [[1], [2, -1]]}, "prompt[1][1]", "invalid_request"),
        ({"prompt": [[1], [2, 1000]]}, "prompt[1][1]", "invalid_request"),
        ({"prompt": [1, 1000]}, "prompt[1]", "invalid_request"),
        ({"prompt": {}}, "prompt", "invalid_request"),
        ({"logprobs": 21}, "logprobs", "invalid_request"),
        ({"logprobs": True}, "logprobs", "invalid_request"),
        ({"suffix": "end"}, "suffix", "unsupported_parameter"),
    ],
)
async def test_refusals_name_the_field(server, fields, param, code):
    server.worker.script = echo
    status, body, _ = await server.answer(ONCE | fields, PATH)
    assert (status, body["error"]["param"], body["error"]["code"]) == (400, param, code)
    assert server.worker.submitted == []


async def test_one_choice_may_be_a_float_and_more_may_be_asked_of_a_model_that_has_room(server):
    server.worker.script = echo
    assert (await server.answer(HELLO | {"n": 2.0}))[0] == 200


async def test_more_answers_than_a_model_takes_at_once_are_refused_at_once(server):
    server.worker.limits = ResolvedLimits(cache_bytes=0, max_queue=3, max_sequences=32)
    status, body, _ = await server.answer(HELLO | {"n": 5})
    assert (status, body["error"]["param"]) == (400, "n")
    assert "4 at once" in body["error"]["message"], "three wait, one runs: the runner is the simple one"
    status, body, _ = await server.answer(ONCE | {"prompt": ["a"] * 5}, PATH)
    assert (status, body["error"]["param"]) == (400, "prompt")
    server.worker.script = numbered
    assert (await server.answer(HELLO | {"n": 4}))[0] == 200


async def test_a_long_prompt_has_fewer_answers(server):
    server.worker.script = echo
    long = [{"role": "user", "content": "x" * 2**19}]
    status, body, _ = await server.answer({"model": "tiny", "messages": long, "n": 64})
    assert (status, body["error"]["param"]) == (400, "n")
    assert "63 at most" in body["error"]["message"]
    assert (await server.answer({"model": "tiny", "messages": long, "n": 2}))[0] == 200


async def test_a_full_queue_refuses_all_of_it(server):
    def script(request):
        if request.generate.id.endswith("-1"):
            request.fail(QueueFullError("full", retry_after=2.0))

    server.worker.script = script
    async with server.post(HELLO | {"n": 3, "stream": True}) as response:
        assert (response.status, response.headers["Retry-After"]) == (429, "2")
    assert [request.aborted.is_set() for request in server.worker.submitted] == [True, False, True]
    assert [request.generate.behind for request in server.worker.submitted] == [2, 1, 0]


async def test_what_is_wrong_with_a_prompt_names_it(server):
    def script(request):
        if request.generate.id.endswith("-3"):
            request.fail(ContextLengthError("the prompt has 9000 tokens", param="prompt"))

    server.worker.script = script
    status, body, _ = await server.answer(ONCE | {"prompt": ["a", "b"], "n": 2}, PATH)
    assert (status, body["error"]["param"]) == (400, "prompt[1]")


async def test_a_client_that_goes_away_ends_all_choices(server):
    async with server.raw() as (_, writer):
        writer.write(server.raw_post(HELLO | {"n": 3}))
        requests = [await server.worker.next_request() for _ in range(3)]
        requests[0].started()
        requests[0].finish("done", 1)
        requests[1].started()
        writer.transport.abort()
    for request in requests[1:]:
        await asyncio.wait_for(request.aborted.wait(), PATIENCE)
    assert not requests[0].aborted.is_set()


async def test_an_operator_s_word_ends_all_choices(server):
    asked = asyncio.create_task(server.answer(HELLO | {"n": 2}))
    requests = [await server.worker.next_request() for _ in range(2)]
    [live] = server.requests.of("tiny")
    server.requests.cancel("tiny", live.id)
    assert (await asked)[0] == 499
    for request in requests:
        await asyncio.wait_for(request.aborted.wait(), PATIENCE)


async def test_it_is_one_request_in_the_log_and_in_metrics(server):
    server.worker.script = numbered
    server.log_content()
    with structlog.testing.capture_logs() as logs:
        await server.answer(ONCE | {"prompt": ["a", "b"]}, PATH)
    [event] = [entry for entry in logs if entry["event"] == "request_finished"]
    assert event["prompt"] == [{"type": "TextPrompt", "text": "a"}, {"type": "TextPrompt", "text": "b"}]
    assert event["completion"] == ["0", "1"]
    assert (event["prompt_tokens"], event["completion_tokens"]) == (14, 3)
    record = await server.telemetry.next_record()
    assert (record.choices, record.longest_completion, [reason.value for reason in record.finish_reasons]) == (2, 2, ["stop", "stop"])
