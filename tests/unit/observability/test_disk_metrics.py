"""mlxd_cache_disk_…: gauges of what is there, counters that go on when a worker is replaced."""

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from mlxd.disk_terms import DiskDrop, DiskError, DiskFigures, DiskState
from mlxd.observability.disk_metrics import DiskMetrics
from mlxd.types import ModelState
from tests.support.statuses import CACHE, HEARTBEAT, model_status, running_status

FIGURES = DiskFigures(
    state=DiskState.READ_ONLY,
    reason="No space left on device",
    blocks=7,
    bytes=700,
    directory_bytes=1000,
    limit_bytes=2000,
    queued_bytes=30,
    read_blocks=5,
    read_bytes=50,
    missed_blocks=1,
    written_blocks=9,
    written_bytes=90,
    dropped_blocks={DiskDrop.QUEUE: 2},
    evicted_blocks=3,
    errors={DiskError.WRITE: 4},
)


class Daemon:
    """Statuses that a test changes, and what Prometheus reads of them."""

    def __init__(self):
        self.statuses = []
        self.registry = CollectorRegistry()
        self.registry.register(DiskMetrics(lambda: self.statuses))

    def beat(self, figures=FIGURES, pid=42):
        self.statuses = [
            running_status(
                "tiny", pid=pid, heartbeat=msgspec.structs.replace(HEARTBEAT, cache=msgspec.structs.replace(CACHE, disk=figures))
            )
        ]

    def value(self, name, **labels):
        return self.registry.get_sample_value(f"mlxd_cache_disk_{name}", {"model": "tiny", **labels})


@pytest.fixture
def daemon():
    return Daemon()


def test_what_is_there_is_shown(daemon):
    daemon.beat()
    names = ("blocks", "bytes", "directory_bytes", "limit_bytes", "queued_bytes")
    assert [daemon.value(name) for name in names] == [7, 700, 1000, 2000, 30]
    assert {state: daemon.value("state", state=state) for state in DiskState} == {"off": 0, "opening": 0, "on": 0, "read_only": 1}


def test_what_was_done_is_counted_once_however_often_it_is_read(daemon):
    daemon.beat()
    for _ in range(3):
        assert daemon.value("read_blocks_total") == 5
        assert daemon.value("written_bytes_total") == 90
        assert daemon.value("dropped_blocks_total", reason="queue") == 2
        assert daemon.value("dropped_blocks_total", reason="budget") == 0
        assert daemon.value("errors_total", kind="write") == 4


def test_counters_go_on_when_a_worker_is_replaced(daemon):
    daemon.beat()
    assert daemon.value("read_blocks_total") == 5
    daemon.beat(msgspec.structs.replace(FIGURES, read_blocks=6), pid=43)
    assert daemon.value("read_blocks_total") == 11
    daemon.beat(msgspec.structs.replace(FIGURES, read_blocks=8), pid=43)
    assert daemon.value("read_blocks_total") == 13


def test_a_model_without_a_worker_has_counters_and_no_gauges(daemon):
    daemon.beat()
    assert daemon.value("blocks") == 7
    daemon.statuses = [model_status("tiny", ModelState.STOPPED)]
    assert daemon.value("blocks") is None
    assert daemon.value("state", state="off") is None
    assert daemon.value("read_blocks_total") == 5


@pytest.mark.parametrize("figures", [None, DiskFigures(reason="it is not configured")])
def test_a_model_that_keeps_nothing_on_disk_has_none_of_them(daemon, figures):
    daemon.beat(figures)
    assert daemon.value("read_blocks_total") is None
    assert daemon.value("state", state="off") is None
