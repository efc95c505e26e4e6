"""Chat completions, whole and streamed, as a client sees them."""

import pytest

from mlxd.errors import ContextLengthError, DeadlineError, ModelFailedError, ModelLoadingError, QueueFullError, WorkerLostError
from mlxd.types import CacheOutcome, ChatMessage, FinishReason, SamplingParams
from tests.support.fake_registry import CREATED, echo
from tests.unit.api.conftest import HELLO, sse_data

USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 2,
    "total_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
}


async def test_whole_answer(server):
    server.worker.script = echo
    status, body, headers = await server.answer(HELLO)
    assert status == 200
    assert headers["x-mlxd-cache"] == "miss"
    assert headers["x-request-id"].startswith("req_")
    assert body.pop("id").startswith("chatcmpl-")
    assert body.pop("system_fingerprint").startswith("fp_")
    assert body.pop("created") > CREATED
    message = {"role": "assistant", "content": "hello there ", "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    assert body == {"object": "chat.completion", "model": "tiny", "choices": [choice], "usage": USAGE}


async def test_cached_tokens_and_outcome_are_reported(server):
    def hit(request):
        request.started(cache=CacheOutcome.PREFIX_HIT, prompt_tokens=10, cached_tokens=8)
        request.finish("yes", 1, FinishReason.LENGTH)

    server.worker.script = hit
    _, body, headers = await server.answer(HELLO)
    assert headers["x-mlxd-cache"] == "prefix_hit"
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 8}
    assert body["choices"][0]["finish_reason"] == "length"


async def test_no_cache_header_without_a_cache(server):
    def uncached(request):
        request.started(cache=None)
        request.finish("x", 1)

    server.worker.script = uncached
    _, _, headers = await server.answer(HELLO)
    assert "x-mlxd-cache" not in headers
    async with server.post(HELLO | {"stream": True}) as response:
        assert "x-mlxd-cache" not in response.headers
        await response.read()


async def test_stream(server):
    server.worker.script = echo
    async with server.post(HELLO | {"stream": True}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache"
        assert response.headers["X-Accel-Buffering"] == "no"
        assert response.headers["x-mlxd-cache"] == "miss"
        assert "x-request-id" in response.headers
        events = sse_data(await response.text())
    assert events.pop() == "[DONE]"
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert len({event["id"] for event in events}) == 1
    assert [event["choices"][0]["delta"] for event in events] == [{"role": "assistant", "content": "hello "}, {"content": "there "}, {}]
    assert [event["choices"][0]["finish_reason"] for event in events] == [None, None, "stop"]
    assert all("usage" not in event for event in events)


async def test_stream_with_usage(server):
    server.worker.script = echo
    async with server.post(HELLO | {"stream": True, "stream_options": {"include_usage": True}}) as response:
        *chunks, last, done = sse_data(await response.text())
    assert done == "[DONE]"
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == USAGE


async def test_text_held_back_to_the_end_is_delivered(server):
    def held(request):
        request.started()
        request.delta("", 1)
        request.finish("late", 2)

    server.worker.script = held
    async with server.post(HELLO | {"stream": True}) as response:
        *chunks, _ = sse_data(await response.text())
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [{"role": "assistant", "content": "late"}, {}]
    record = await server.telemetry.next_record()
    assert record.completion_tokens == 3


async def test_an_answer_without_text_names_its_role(server):
    def silent(request):
        request.started()
        request.finish()

    server.worker.script = silent
    async with server.post(HELLO | {"stream": True}) as response:
        chunk, _ = sse_data(await response.text())
    assert chunk["choices"][0] == {
        "index": 0,
        "delta": {"role": "assistant", "content": ""},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert (await server.telemetry.next_record()).time_to_first_token is None


async def test_unicode_goes_through(server):
    server.worker.script = echo
    text = "naïve 😀 日本"
    _, body, _ = await server.answer(HELLO | {"messages": [{"role": "user", "content": text}]})
    assert body["choices"][0]["message"]["content"] == text + " "


async def test_everything_reaches_the_worker(server):
    server.worker.script = echo
    body = {
        "model": "small",
        "messages": [
            {"role": "developer", "content": "be brief", "name": "boss"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c", "refusal": None, "tool_calls": [], "annotations": []},
            {"role": "user", "content": ""},
        ],
        "temperature": 0,
        "top_p": 0.9,
        "top_k": 5,
        "min_p": 0.1,
        "repetition_penalty": 1.1,
        "presence_penalty": -1,
        "frequency_penalty": 2,
        "logit_bias": {"5": -100, "999": 3.5},
        "seed": -7,
        "max_tokens": 3,
        "max_completion_tokens": 3,
        "stop": "END",
    }
    status, answer, _ = await server.answer(body)
    assert (status, answer["model"]) == (200, "tiny")  # an alias is answered with the configured id
    generate = server.worker.submitted[0].generate
    assert generate.id == answer["id"]
    assert generate.prompt.messages == [
        ChatMessage(role="system", content="be brief", name="boss"),
        ChatMessage(role="user", content="ab"),
        ChatMessage(role="assistant", content="c"),
        ChatMessage(role="user", content=""),
    ]
    assert generate.sampling == SamplingParams(
        temperature=0,
        top_p=0.9,
        top_k=5,
        min_p=0.1,
        repetition_penalty=1.1,
        presence_penalty=-1,
        frequency_penalty=2,
        logit_bias={5: -100, 999: 3.5},
        seed=-7,
    )
    assert (generate.max_tokens, generate.output.stop) == (3, ["END"])


async def test_a_silent_request_gets_the_models_defaults(server):
    server.registry.add("tiny", sampling={"temperature": 0.3, "top_k": 40, "max_tokens": 12})
    server.worker.script = echo
    await server.answer(HELLO | {"temperature": None, "stop": None, "seed": None})
    generate = server.worker.submitted[0].generate
    assert generate.sampling == SamplingParams(temperature=0.3, top_k=40)
    assert (generate.max_tokens, generate.output.stop) == (12, [])


async def test_top_k_minus_one_is_off(server):
    server.worker.script = echo
    await server.answer(HELLO | {"top_k": -1})
    assert server.worker.submitted[0].generate.sampling.top_k == 0


@pytest.mark.parametrize(
    "neutral",
    [
        {"n": 1},
        {"n": None},
        {"logprobs": False, "top_logprobs": 0},
        {"response_format": {"type": "text"}},
        {"tools": [], "tool_choice": "none", "parallel_tool_calls": True},
        {"tool_choice": "auto", "functions": None, "function_call": "none"},
        {"user": "u-1", "metadata": {"a": "b"}, "store": False, "service_tier": "auto"},
        {"safety_identifier": "x", "prompt_cache_key": "y", "modalities": ["text"], "verbosity": "medium", "reasoning_effort": None},
        {"best_of": 1, "ignore_eos": False, "stop_token_ids": []},
        {"stream": False, "stop": []},
        {"stream": True, "stream_options": {"include_obfuscation": False}},
    ],
    ids=",".join,
)
async def test_fields_that_ask_for_nothing_pass(server, neutral):
    server.worker.script = echo
    async with server.post(HELLO | neutral) as response:
        assert response.status == 200, await response.text()
        await response.read()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (QueueFullError("256 requests wait already", retry_after=2.2), (429, "rate_limit_error", "3")),
        (ContextLengthError("5000 tokens, the context has 2048", param="messages"), (400, "invalid_request_error", None)),
        (WorkerLostError("the worker was killed", retry_after=0.1), (503, "service_unavailable_error", "1")),
    ],
    ids=["queue_full", "context_length_exceeded", "worker_lost"],
)
async def test_a_worker_that_refuses_before_it_starts(server, stream, error, expected):
    status, kind, retry_after = expected
    server.worker.script = lambda request: request.fail(error)
    got, body, headers = await server.answer(HELLO | {"stream": stream})
    assert got == status
    assert body == {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
    assert headers.get("Retry-After") == retry_after
    record = await server.telemetry.next_record()
    assert record.error == error.code
    assert record.outcome == ("client_error" if status == 400 else "error")
    assert server.telemetry.rejections == [("tiny", error.code)]


@pytest.mark.parametrize(
    "error",
    [ModelLoadingError("loading, 40 %", retry_after=4), ModelFailedError("the weights are damaged")],
    ids=["loading", "failed"],
)
async def test_a_model_that_is_not_ready(server, error):
    server.model.error = error
    status, body, headers = await server.answer(HELLO)
    assert (status, body["error"]["code"], body["error"]["message"]) == (503, error.code, error.message)
    assert headers.get("Retry-After") == ("4" if error.retry_after else None)
    assert server.worker.submitted == []


async def test_a_bad_request_is_told_even_while_the_model_loads(server):
    server.model.error = ModelLoadingError("loading", retry_after=4)
    status, body, _ = await server.answer(HELLO | {"temperature": 3})
    assert (status, body["error"]["param"]) == (400, "temperature")


async def test_a_worker_that_dies_in_the_middle_of_a_stream(server):
    def die(request):
        request.started()
        request.delta("partial")
        request.lose(WorkerLostError("the worker was killed by SIGKILL", retry_after=1))

    server.worker.script = die
    async with server.post(HELLO | {"stream": True}) as response:
        *chunks, last = sse_data(await response.text())  # the connection ends: no hang, and no [DONE]
    assert response.status == 200
    assert chunks[0]["choices"][0]["delta"]["content"] == "partial"
    assert last["error"]["code"] == "worker_lost"
    record = await server.telemetry.next_record()
    assert (record.outcome, record.error, record.completion_tokens, record.streamed) == ("error", "worker_lost", 1, True)
    assert server.telemetry.rejections == [("tiny", "worker_lost")]


async def test_a_worker_that_dies_in_the_middle_of_a_whole_answer(server):
    def die(request):
        request.started()
        request.delta("partial")
        request.lose(WorkerLostError("the worker was killed by SIGKILL", retry_after=1))

    server.worker.script = die
    status, body, headers = await server.answer(HELLO)
    assert (status, body["error"]["code"], headers["Retry-After"]) == (503, "worker_lost", "1")


async def test_deadline_of_a_whole_answer(server):
    server.set_server(request_timeout=0.5)
    status, body, _ = await server.answer(HELLO)
    assert (status, body["error"]["code"], body["error"]["type"]) == (504, "request_timeout", "timeout_error")
    assert "500ms" in body["error"]["message"]
    await server.worker.submitted[0].aborted.wait()


async def test_deadline_of_a_stream(server):
    server.set_server(request_timeout=1.0)

    def stall(request):
        request.started()
        request.delta("partial")

    server.worker.script = stall
    async with server.post(HELLO | {"stream": True}) as response:
        *_, last = sse_data(await response.text())
    assert last["error"]["code"] == DeadlineError.code
    await server.worker.submitted[0].aborted.wait()
    assert (await server.telemetry.next_record()).error == "request_timeout"


async def test_a_bug_of_ours_tells_the_client_nothing_of_it(server):
    def bug(_request):
        raise RuntimeError("secret detail")

    server.worker.script = bug
    for stream in (False, True):
        status, body, headers = await server.answer(HELLO | {"stream": stream})
        assert (status, body["error"]["code"]) == (500, "internal_error")
        assert "secret" not in str(body)
        assert "x-request-id" in headers
    assert [record.outcome for record in server.telemetry.records] == ["error", "error"]


async def test_a_bug_in_the_middle_of_a_stream_ends_it_with_an_error(server, monkeypatch):
    monkeypatch.setattr("mlxd.api.openai.chat_answers.ChatShape._reasons", lambda *_: 1 / 0)
    server.worker.script = echo
    async with server.post(HELLO | {"stream": True}) as response:
        *_, last = sse_data(await response.text())
    assert last["error"]["code"] == "internal_error"


async def test_request_record(server):
    server.worker.script = echo
    await server.answer(HELLO | {"model": "small"}, headers={"x-request-id": "mine-1"})
    record = await server.telemetry.next_record()
    assert (record.request_id, record.model, record.endpoint, record.outcome, record.error) == (
        "mine-1",
        "tiny",
        "chat_completions",
        "ok",
        None,
    )
    assert (record.prompt_tokens, record.cached_tokens, record.completion_tokens) == (7, 0, 2)
    assert (record.cache, record.finish_reason, record.streamed) == (CacheOutcome.MISS, FinishReason.STOP, False)
    assert 0 < record.time_to_first_token <= record.duration
    assert record.timings.prefill == 0.2
    assert server.telemetry.rejections == []
