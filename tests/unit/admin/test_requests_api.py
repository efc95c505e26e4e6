"""GET …/models/{id}/requests and DELETE …/requests/{request}."""

import contextlib

import pytest

from mlxd.control.live_requests import LiveRequest, Stage
from mlxd.types import Usage
from tests.support.statuses import SINCE
from tests.unit.admin.conftest import call


class Ended:
    """Remembers why."""

    def __init__(self):
        self.errors = []

    def __call__(self, error):
        self.errors.append(error)


@pytest.fixture
def live(daemon):
    """Two requests of ``tiny``, the second one running, and one of another model; by their ids, what ended them."""
    ended = {}
    with contextlib.ExitStack() as stack:
        for identity, model in (("chatcmpl-1", "tiny"), ("chatcmpl-2", "tiny"), ("chatcmpl-3", "org/Name-4bit")):
            stop = ended[identity] = Ended()
            request = LiveRequest(
                id=identity, request_id=f"req-{identity}", endpoint="chat", model=model, streamed=True, stop=stop, arrived=SINCE
            )
            stack.enter_context(daemon.requests.track(request))
            if identity == "chatcmpl-2":
                request.stage = Stage.RUNNING
                request.usage = lambda: Usage(prompt_tokens=100, completion_tokens=7, cached_tokens=60)
        yield ended


async def test_the_list_says_how_far_each_is(live, admin):
    listed = await call(admin, "GET", "/admin/v1/models/default/requests")
    waiting = {
        "id": "chatcmpl-1",
        "request_id": "req-chatcmpl-1",
        "endpoint": "chat",
        "adapter": None,
        "key": "anonymous",
        "streamed": True,
        "stage": "loading",
        "arrived": "2026-01-02T03:04:05.500Z",
        "prompt_tokens": None,
        "cached_tokens": None,
        "completion_tokens": 0,
    }
    running = {"id": "chatcmpl-2", "request_id": "req-chatcmpl-2", "stage": "running", "prompt_tokens": 100, "cached_tokens": 60}
    assert listed.status == 200
    assert listed.body == {"model": "tiny", "requests": [waiting, waiting | running | {"completion_tokens": 7}]}


async def test_a_model_with_a_slash_has_its_own(live, admin):
    for path in ("org/Name-4bit", "org%2FName-4bit"):
        listed = await call(admin, "GET", f"/admin/v1/models/{path}/requests")
        assert [one["id"] for one in listed.body["requests"]] == ["chatcmpl-3"]


async def test_none(admin):
    assert (await call(admin, "GET", "/admin/v1/models/other/requests")).body == {"model": "other", "requests": []}


async def test_one_is_cancelled_and_the_others_go_on(live, admin):
    cancelled = await call(admin, "DELETE", "/admin/v1/models/default/requests/chatcmpl-2")
    assert (cancelled.status, cancelled.body) == (200, {"model": "tiny", "id": "chatcmpl-2"})
    assert [error.code for error in live["chatcmpl-2"].errors] == ["request_cancelled"]
    assert live["chatcmpl-1"].errors == live["chatcmpl-3"].errors == []


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("tiny/requests/chatcmpl-9", "not_found"),
        ("tiny/requests/chatcmpl-3", "not_found"),  # of another model
        ("nobody/requests/chatcmpl-1", "model_not_found"),
    ],
)
async def test_nothing_else_is_cancelled(live, admin, path, code):
    missing = await call(admin, "DELETE", f"/admin/v1/models/{path}")
    assert (missing.status, missing.code) == (404, code)
    assert not any(ended.errors for ended in live.values())


async def test_the_list_of_an_unknown_model(admin):
    missing = await call(admin, "GET", "/admin/v1/models/nobody/requests")
    assert (missing.status, missing.code) == (404, "model_not_found")
