"""mlxd_adapter_…: what is asked of each adapter that is configured, and what has become of it."""

import msgspec
import pytest

from mlxd.adapter_terms import AdapterFigures, AdapterState
from mlxd.config.adapter_table import AdapterTable
from mlxd.control.memory.ledger import Ledger
from mlxd.control.telemetry import RequestRecord
from mlxd.observability.metrics import Metrics
from mlxd.types import ModelState
from tests.support.statuses import HEARTBEAT, model_status, running_status

LOADED = AdapterFigures(name="sql", state=AdapterState.LOADED, bytes=3000, requests=2, loads=3, evictions=1)


class Daemon:
    def __init__(self):
        self.metrics = Metrics(lambda: self.statuses, Ledger(1000))
        self.metrics.add_models(["tiny"])
        self.beat()

    def beat(self, *adapters, figures=(LOADED,), pid=42):
        tables = {name: AdapterTable(source=f"org/{name}") for name in adapters or ("sql", "law")}
        self.statuses = [running_status("tiny", pid=pid, adapters=tables, heartbeat=msgspec.structs.replace(HEARTBEAT, adapters=figures))]

    def finish(self, adapter, outcome="ok", tokens=5):
        record = RequestRecord(
            request_id="r", model="tiny", adapter=adapter, endpoint="completions", outcome=outcome, duration=1.0, completion_tokens=tokens
        )
        self.metrics.request_finished(record)

    def read(self, name, adapter="sql", **labels):
        return self.metrics.registry.get_sample_value(f"mlxd_adapter_{name}", {"model": "tiny", "adapter": adapter, **labels})


@pytest.fixture
def daemon():
    return Daemon()


def test_requests_and_tokens_start_at_zero_and_are_counted_by_adapter(daemon):
    assert daemon.read("requests_total", outcome="ok") == daemon.read("generation_tokens_total") == 0
    for adapter, outcome in (("sql", "ok"), ("sql", "ok"), ("sql", "error"), ("law", "aborted"), ("", "ok")):
        daemon.finish(adapter, outcome)
    assert [daemon.read("requests_total", outcome=one) for one in ("ok", "error", "aborted", "client_error")] == [2, 1, 0, 0]
    assert (daemon.read("generation_tokens_total"), daemon.read("generation_tokens_total", "law")) == (15, 5)
    assert daemon.read("requests_total", "", outcome="ok") is None, "those of none are in mlxd_requests_total"
    assert (
        daemon.metrics.registry.get_sample_value("mlxd_requests_total", {"model": "tiny", "endpoint": "completions", "outcome": "ok"}) == 3
    )


def test_what_has_become_of_them_is_told_by_the_worker(daemon):
    assert (daemon.read("bytes"), daemon.read("bytes", "law"), daemon.read("requests_running")) == (3000, 0, 2)
    states = {state: (daemon.read("state", state=state), daemon.read("state", "law", state=state)) for state in AdapterState}
    assert {state: pair for state, pair in states.items() if any(pair)} == {"loaded": (1, 0), "unloaded": (0, 1)}
    assert (daemon.read("loads_total"), daemon.read("evictions_total"), daemon.read("loads_total", "law")) == (3, 1, 0)


def test_counters_go_on_by_the_next_worker(daemon):
    daemon.read("loads_total")
    daemon.beat(pid=43)
    assert (daemon.read("loads_total"), daemon.read("evictions_total")) == (6, 2)


def test_of_a_model_that_is_not_loaded_nothing_is_known_but_what_was_counted(daemon):
    daemon.finish("sql")
    daemon.statuses = [model_status("tiny", ModelState.STOPPED, adapters={"sql": AdapterTable(source="org/sql")})]
    assert (daemon.read("bytes"), daemon.read("state", state="unloaded"), daemon.read("requests_total", outcome="ok")) == (None, None, 1)


def test_the_series_of_one_that_is_removed_go_with_it_and_begin_anew(daemon):
    daemon.finish("sql")
    assert daemon.read("requests_total", outcome="ok") == 1
    daemon.beat("law", figures=())
    assert [daemon.read(name) for name in ("generation_tokens_total", "bytes", "loads_total", "requests_running")] == [None] * 4
    assert daemon.read("requests_total", outcome="ok") is None
    daemon.beat("sql")
    assert (daemon.read("requests_total", outcome="ok"), daemon.read("generation_tokens_total")) == (0, 0)
