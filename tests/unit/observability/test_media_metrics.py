"""mlxd_media_…: what models that see have looked at."""

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from mlxd.media_terms import MediaFigures
from mlxd.observability.media_metrics import MediaMetrics
from mlxd.types import ModelState
from tests.support.statuses import CACHE, HEARTBEAT, model_status, running_status

FIGURES = MediaFigures(
    images=9, videos=2, tokens=700, hits=4, misses=5, encoded=6, failed=1, encode_seconds=1.5, evicted=3, kept=3, bytes=300, limit_bytes=400
)
COUNTED = {
    "mlxd_media_total": {("kind", "image"): 9, ("kind", "video"): 2},
    "mlxd_media_tokens_total": {(): 700},
    "mlxd_media_encodes_total": {("outcome", "done"): 6, ("outcome", "failed"): 1},
    "mlxd_media_encode_seconds_total": {(): 1.5},
    "mlxd_media_cache_lookups_total": {("outcome", "hit"): 4, ("outcome", "miss"): 5},
    "mlxd_media_cache_evictions_total": {(): 3},
}
SHOWN = {"mlxd_media_cache_bytes": {(): 300}, "mlxd_media_cache_limit_bytes": {(): 400}}


class Daemon:
    def __init__(self):
        self.statuses = []
        self.registry = CollectorRegistry()
        self.registry.register(MediaMetrics(lambda: self.statuses))

    def beat(self, figures=FIGURES, pid=42):
        cache = msgspec.structs.replace(CACHE, media=figures)
        self.statuses = [running_status("tiny", pid=pid, heartbeat=msgspec.structs.replace(HEARTBEAT, cache=cache))]

    def read(self, names):
        return {
            name: {label: self.registry.get_sample_value(name, {"model": "tiny", **dict([label] if label else [])}) for label in labels}
            for name, labels in names.items()
        }


@pytest.fixture
def daemon():
    return Daemon()


def test_what_was_looked_at_is_counted_once_however_often_it_is_read(daemon):
    daemon.beat()
    for _ in range(3):
        assert daemon.read(COUNTED | SHOWN) == COUNTED | SHOWN


def test_counters_go_on_when_a_worker_is_replaced_and_gauges_go_with_it(daemon):
    daemon.beat()
    daemon.read(COUNTED)
    daemon.beat(pid=43)
    assert daemon.read(COUNTED) == {name: {label: 2 * value for label, value in of.items()} for name, of in COUNTED.items()}
    daemon.statuses = [model_status("tiny", ModelState.STOPPED)]
    assert daemon.read(SHOWN) == {name: {(): None} for name in SHOWN}
    assert daemon.read({"mlxd_media_tokens_total": {(): 0}}) == {"mlxd_media_tokens_total": {(): 1400}}


def test_a_model_that_sees_nothing_has_none_of_them(daemon):
    daemon.beat(None)
    assert daemon.read({"mlxd_media_tokens_total": {(): 0}} | SHOWN) == {
        "mlxd_media_tokens_total": {(): None},
        **{name: {(): None} for name in SHOWN},
    }
