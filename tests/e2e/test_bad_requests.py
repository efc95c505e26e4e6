"""Every malformed request of the API's own tests, against a real daemon: a 4xx that says why, and nothing is harmed."""

import pytest

from tests.e2e.client import post
from tests.e2e.conftest import ENDLESS, TINY
from tests.e2e.daemon_process import DaemonProcess
from tests.unit.api.test_malformed import BODIES, RAW


@pytest.fixture(scope="module")
def daemon(tmp_path_factory, tiny_model):
    directory = tmp_path_factory.mktemp("bad")
    (directory / "model").symlink_to(tiny_model)
    with DaemonProcess(directory, TINY, server='max_body = "1MiB"') as started:
        started.wait_ready()
        yield started


def test_all_are_refused_with_an_openai_shaped_body_and_a_good_one_works_afterwards(daemon):
    answers = [post(daemon, path, body) for (path, body), *_ in BODIES] + [post(daemon, "/v1/chat/completions", body) for body, *_ in RAW]
    assert len(answers) >= 50
    for status, headers, body in answers:
        assert 400 <= status < 500, body
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["message"]
        assert headers["x-request-id"]
    assert post(daemon, "/v1/completions", ENDLESS | {"max_tokens": 2})[0] == 200
    assert daemon.metrics()['mlxd_worker_restarts_total{model="tiny",reason="crash"}'] == 0


def test_a_prompt_beyond_the_context_is_refused_before_any_computation(daemon):
    steps = daemon.metrics()['mlxd_step_seconds_count{model="tiny"}']
    status, _, body = post(daemon, "/v1/completions", ENDLESS | {"prompt": "x" * 250_000})
    assert (status, body["error"]["code"]) == (400, "context_length_exceeded")
    assert "200000" in body["error"]["message"]
    assert daemon.metrics()['mlxd_step_seconds_count{model="tiny"}'] == steps


def test_a_body_that_is_too_large_is_refused(daemon):
    status, _, body = post(daemon, "/v1/completions", ENDLESS | {"prompt": "x" * 2_000_000})
    assert (status, body["error"]["code"]) == (413, "body_too_large")


def test_only_configured_models_are_ever_loaded(daemon):
    before = daemon.admin("/admin/v1/models")[1]["models"]
    for name in ("mlx-community/other", "/etc", "builtin:smollm2-135m"):
        assert post(daemon, "/v1/completions", ENDLESS | {"model": name})[0] == 404
    after = daemon.admin("/admin/v1/models")[1]["models"]
    assert [model["pid"] for model in after] == [model["pid"] for model in before]


def test_a_foreign_host_or_origin_is_refused(daemon):
    assert post(daemon, "/v1/completions", ENDLESS, Host="evil.example")[0] == 403
    assert post(daemon, "/v1/completions", ENDLESS, Origin="https://evil.example")[0] == 403
