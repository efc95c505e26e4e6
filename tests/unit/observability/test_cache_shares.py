"""Whose what is in caches, as Prometheus gets it: of keys that are configured, and of models that have a worker."""

import msgspec
from prometheus_client import CollectorRegistry

from mlxd.cache_terms import KeyCacheFigures, PinFigures, PinState
from mlxd.observability.cache_shares import CacheShares
from tests.support.statuses import HEARTBEAT, PAGED_CACHE, running_status


def samples(**cache):
    figures = msgspec.structs.replace(PAGED_CACHE, **cache)
    status = running_status(heartbeat=msgspec.structs.replace(HEARTBEAT, cache=figures))
    registry = CollectorRegistry()
    registry.register(CacheShares(lambda: [status], lambda: ("agents", "people", "idle")))
    return {(one.name, *one.labels.values()): one.value for family in registry.collect() for one in family.samples}


def test_keys_are_told_by_their_names_while_they_are_configured():
    held = {"agents": KeyCacheFigures(held=7, quota=9), "people": KeyCacheFigures(held=5), "removed": KeyCacheFigures(held=3)}
    assert {key: value for key, value in samples(keys=held).items() if "key" in key[0]} == {
        ("mlxd_kv_key_bytes", "tiny", "agents"): 7,
        ("mlxd_kv_key_bytes", "tiny", "people"): 5,
        ("mlxd_kv_key_quota_bytes", "tiny", "agents"): 9,
    }


def test_pins_are_counted_by_what_has_become_of_them():
    pins = tuple(PinFigures(name=str(state), state=state) for state in (PinState.KEPT, PinState.KEPT, PinState.REFUSED))
    assert samples(pins=pins, bytes_pinned=4096) == {
        ("mlxd_kv_pinned_bytes", "tiny"): 4096,
        ("mlxd_cache_pins", "tiny", "computing"): 0,
        ("mlxd_cache_pins", "tiny", "kept"): 2,
        ("mlxd_cache_pins", "tiny", "refused"): 1,
    }
