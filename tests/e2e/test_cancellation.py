"""A client that goes away, a deadline, a full queue: the engine stops, and the next request runs."""

import json

import pytest

from tests.e2e.client import post, send, stream
from tests.e2e.conftest import ENDLESS, TINY
from tests.e2e.daemon_process import DaemonProcess


@pytest.fixture(scope="module")
def shared(tmp_path_factory, tiny_model):
    """A daemon that nobody leaves with work."""
    directory = tmp_path_factory.mktemp("cancellation")
    (directory / "model").symlink_to(tiny_model)
    with DaemonProcess(directory, TINY) as daemon:
        daemon.wait_ready()
        yield daemon


@pytest.fixture
def reloaded(shared):
    """The same daemon with another file; at the end as it was."""

    def reload(toml, **options):
        assert shared.reload(toml, **options)[0] == 200
        return shared

    yield reload
    assert shared.reload(TINY)[0] == 200


def idle(daemon):
    model = daemon.model()
    return model["requests"]["running"] == 0 and model["requests"]["waiting"] == 0


def worker_idle(daemon):
    """By the worker's own word, not the daemon's book-keeping."""
    before = daemon.metrics()['mlxd_step_seconds_count{model="tiny"}']
    return idle(daemon) and daemon.metrics()['mlxd_step_seconds_count{model="tiny"}'] == before


def running(daemon):
    return daemon.model()["requests"]["running"] == 1


def test_leaving_a_stream_stops_the_engine(shared):
    daemon = shared
    aborted = 'mlxd_requests_total{endpoint="completions",model="tiny",outcome="aborted"}'
    before = daemon.metrics()[aborted]
    with stream(daemon, ENDLESS) as answer:
        answer.first()
    daemon.until(lambda: worker_idle(daemon), "idle")
    daemon.until(lambda: daemon.metrics()[aborted] == before + 1, "it is told of")


def test_leaving_without_streaming_stops_the_engine(shared):
    daemon = shared
    connection = send(daemon, ENDLESS)
    daemon.until(lambda: running(daemon), "running")
    connection.close()
    daemon.until(lambda: worker_idle(daemon), "idle")


def test_leaving_during_prefill_stops_within_a_chunk(shared):
    daemon = shared
    before = daemon.metrics()['mlxd_step_tokens_sum{model="tiny"}']
    prompt = "x" * 150_000  # over a thousand chunks, each slower than the last
    connection = send(daemon, ENDLESS | {"prompt": prompt})
    daemon.until(lambda: running(daemon), "running")
    connection.close()
    daemon.until(lambda: worker_idle(daemon), "idle")
    computed = daemon.metrics()['mlxd_step_tokens_sum{model="tiny"}'] - before
    assert computed < len(prompt) / 2


def test_requests_wait_their_turn_and_all_finish(shared):
    daemon = shared
    connections = [send(daemon, ENDLESS | {"max_tokens": 20, "prompt": f"{number}"}) for number in range(8)]
    answers = [json.loads(connection.getresponse().read()) for connection in connections]
    assert [answer["usage"]["completion_tokens"] for answer in answers] == [20] * 8
    for connection in connections:
        connection.close()


def test_leaving_the_queue_frees_the_place(reloaded):
    daemon = reloaded(TINY + "[models.tiny.batching]\nmax_queue = 1\nmax_sequences = 1\n")
    with stream(daemon, ENDLESS) as answer:
        answer.first()
        waiting = send(daemon, ENDLESS)
        daemon.until(lambda: daemon.model()["requests"]["waiting"] == 1, "one waiting")
        status, headers, body = post(daemon, "/v1/completions", ENDLESS)
        assert (status, body["error"]["code"]) == (429, "queue_full")
        assert int(headers["retry-after"]) >= 1
        waiting.close()
        daemon.until(lambda: daemon.model()["requests"]["waiting"] == 0, "none waiting")
        again = send(daemon, ENDLESS)
        daemon.until(lambda: daemon.model()["requests"]["waiting"] == 1, "one waiting again")
        again.close()
    daemon.until(lambda: worker_idle(daemon), "idle")


def test_the_deadline_ends_a_request_and_a_stream(reloaded):
    daemon = reloaded(TINY, server='request_timeout = "700ms"')
    status, _, body = post(daemon, "/v1/completions", ENDLESS)
    assert (status, body["error"]["code"]) == (504, "request_timeout")
    with stream(daemon, ENDLESS) as answer:
        events = list(answer)
    assert json.loads(events[-1])["error"]["code"] == "request_timeout"
    assert "[DONE]" not in events
    daemon.until(lambda: worker_idle(daemon), "idle")
