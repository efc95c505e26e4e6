"""Traces of a running daemon: switched on and off by a reload, and the last ones sent before it ends."""

import pytest

from tests.e2e.client import post
from tests.e2e.daemon_process import DaemonProcess
from tests.support.trace_collector import TraceCollector

MODEL = '[models.tiny]\nsource = "fake/ok"\n'


def complete(daemon):
    """The id of the answer."""
    return post(daemon, "/v1/completions", {"model": "tiny", "prompt": "tell nobody"})[2]["id"]


@pytest.fixture
def collector():
    with TraceCollector() as running:
        yield running


def test_tracing_follows_the_file(tmp_path, collector):
    tracing = f'[tracing]\nenabled = true\nendpoint = "{collector.endpoint}"\nservice_name = "mlxd-test"\n'
    with DaemonProcess(tmp_path, MODEL, module="tests.support.fake_daemon") as daemon:
        daemon.wait_ready()
        complete(daemon)  # not traced
        assert daemon.reload(tracing + MODEL)[0] == 200
        first = complete(daemon)
        assert daemon.reload(MODEL)[0] == 200
        complete(daemon)  # not traced
        assert {span.name for span in collector.wait_for(4)} == {"text_completion tiny", "queue", "prefill", "decode"}
        assert daemon.reload(tracing + MODEL)[0] == 200
        last = complete(daemon)
        assert daemon.stop() == 0
    found = [span.attributes["gen_ai.response.id"] for span in collector.spans if not span.parent_id]
    assert found == [first, last]
    assert {span.resource["service.name"] for span in collector.spans} == {"mlxd-test"}
    assert not any(b"tell nobody" in body for body in collector.bodies)
    assert [event.get("trace_id") is not None for event in daemon.events("request_finished")] == [False, True, False, True]
