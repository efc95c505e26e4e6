"""One log event per request, and never a prompt in it unless the configuration asks for that."""

import pytest
import structlog

from mlxd.api.trace import outcome_of
from mlxd.errors import GenerationError, InvalidRequestError, MlxdError, QueueFullError, SlowClientError
from tests.support.fake_registry import echo
from tests.unit.api.conftest import HELLO


async def finished(server, body):
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        await server.answer(body, headers={"x-request-id": "mine"})
    (event,) = [entry for entry in logs if entry["event"] == "request_finished"]
    return event


async def test_fields(server):
    server.worker.script = echo
    event = await finished(server, HELLO)
    ttft, duration = event.pop("ttft"), event.pop("duration")
    assert 0 <= ttft <= duration
    assert event == {
        "event": "request_finished",
        "log_level": "info",
        "request_id": "mine",
        "model": "tiny",
        "endpoint": "chat_completions",
        "outcome": "ok",
        "streamed": False,
        "finish_reason": "stop",
        "cache": "miss",
        "prompt_tokens": 7,
        "cached_tokens": 0,
        "completion_tokens": 2,
        "queue": 0.1,
        "prefill": 0.2,
        "decode": 0.3,
    }


async def test_a_refused_request_names_the_field_and_not_its_value(server):
    event = await finished(server, HELLO | {"temperature": "my secret"})
    assert (event["outcome"], event["error"], event["param"]) == ("client_error", "invalid_request", "temperature")
    assert "secret" not in str(event)


async def test_a_request_that_failed_says_where_its_time_went(server):
    def script(request):
        request.started()
        request.delta("some")
        request.lose(GenerationError("the worker is gone"))

    server.worker.script = script
    event = await finished(server, HELLO)
    assert (event["outcome"], event["error"], event["completion_tokens"]) == ("error", "generation_failed", 1)
    assert event.keys() >= {"queue", "prefill", "decode", "ttft", "prompt_tokens", "cached_tokens", "cache"}
    assert event["queue"] + event["prefill"] + event["decode"] <= event["duration"] + 0.0002  # each is rounded
    assert "finish_reason" not in event


async def test_a_request_that_never_began_has_waited_only(server):
    server.worker.script = lambda request: request.fail(QueueFullError("full", retry_after=1.0))
    event = await finished(server, HELLO)
    assert (event["outcome"], event["error"]) == ("error", "queue_full")
    assert "queue" in event
    assert event.keys() & {"prefill", "decode", "ttft", "prompt_tokens", "cache"} == set()


async def test_content_is_logged_only_where_asked_for(server):
    server.worker.script = echo
    assert "hello" not in str(await finished(server, HELLO))
    server.log_content()
    event = await finished(server, HELLO)
    assert event["prompt"]["messages"] == HELLO["messages"]
    assert event["completion"] == "hello there "


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (InvalidRequestError("x"), "client_error"),
        (QueueFullError("x"), "error"),
        (MlxdError("x"), "error"),
        (RuntimeError("x"), "error"),
        (SlowClientError("x"), "aborted"),
        (ConnectionResetError(), "aborted"),
    ],
)
def test_outcomes(error, outcome):
    assert outcome_of(error) == outcome
