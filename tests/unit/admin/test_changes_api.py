"""POST …/evict, PUT /admin/v1/log-level, GET /admin/v1/memory."""

import psutil
import pytest

from mlxd.admin.keys import MemoryFacts
from mlxd.control.memory.giving_way import ExchangeState, TurnState
from mlxd.control.memory.governor import LADDER, Measure
from mlxd.control.memory.pressure import PressureLevel
from mlxd.control.memory.relief import ReliefEntry, ReliefState
from mlxd.control.model.status import ModelStatus
from mlxd.errors import ModelNotFoundError, WorkerLostError
from mlxd.types import ModelState
from tests.support.statuses import MEMORY, SINCE, model_status, running_status
from tests.unit.admin.conftest import call

CODES = {400: "invalid_request", 415: "unsupported_media_type"}
JSON = {"Content-Type": "application/json"}


# ---- evict ----


@pytest.mark.parametrize("name", ["tiny", "default"])
async def test_one_model_s_cache_is_evicted(daemon, admin, name):
    evicted = await call(admin, "POST", f"/admin/v1/models/{name}/evict")
    assert (evicted.status, evicted.body) == (200, {"model": "tiny", "entries": 3, "bytes": 300})
    assert daemon.models.asked == [("evict", "tiny")]


async def test_a_model_that_is_not_ready_has_nothing_to_evict(daemon, admin):
    refused = await call(admin, "POST", "/admin/v1/models/other/evict")
    assert (refused.status, refused.code, refused.headers["Retry-After"]) == (503, "model_loading", "1")


async def test_all_models_that_are_ready(daemon, admin):
    evicted = await call(admin, "POST", "/admin/v1/evict")
    assert [one["model"] for one in evicted.body["evicted"]] == ["tiny", "org/Name-4bit"]
    assert daemon.models.asked == [("evict", "tiny"), ("evict", "org/Name-4bit")]


async def test_no_model_at_all(daemon, admin):
    daemon.models.all = []
    assert (await call(admin, "POST", "/admin/v1/evict")).body == {"evicted": []}


@pytest.mark.parametrize("error", [ModelNotFoundError("removed meanwhile"), WorkerLostError("crashed meanwhile")])
async def test_one_that_goes_meanwhile_keeps_no_other_from_it(daemon, admin, error):
    evict = daemon.models.evict_cache

    async def evict_cache(name):
        if name == "tiny":
            raise error
        return await evict(name)

    daemon.models.evict_cache = evict_cache
    evicted = await call(admin, "POST", "/admin/v1/evict")
    assert (evicted.status, evicted.body["evicted"]) == (200, [{"model": "org/Name-4bit", "entries": 3, "bytes": 300}])


# ---- log level ----


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
async def test_the_log_level_is_set(daemon, admin, level):
    assert (await call(admin, "PUT", "/admin/v1/log-level", json={"level": level})).body == {"level": level}
    assert daemon.log_level == level


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"level": "verbose"}', JSON, 400),
        (b'{"level": "DEBUG"}', JSON, 400),
        (b'{"level": 1}', JSON, 400),
        (b"{}", JSON, 400),
        (b'"debug"', JSON, 400),
        (b"", JSON, 400),
        (b'{"level": "debug"', JSON, 400),
        (b'{"level": "debug"} {}', JSON, 400),
        (b'{"level": "debug", "levl": "info"}', JSON, 400),
        (b'{"level": "debug", "level": "info"}', JSON, 400),
        (b'{"level": "\xff"}', JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b'{"level": "debug"}', {"Content-Type": "text/plain"}, 415),
        (b'{"level": "debug"}', {"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_what_is_no_level_sets_none(daemon, admin, body, headers, status):
    refused = await call(admin, "PUT", "/admin/v1/log-level", data=body, headers=headers)
    assert (refused.status, refused.code) == (status, CODES[status])
    assert daemon.log_level == "info"


async def test_a_document_in_toml_is_none(daemon, admin):
    refused = await call(admin, "PUT", "/admin/v1/log-level", data='level = "debug"', headers={"Content-Type": "application/toml"})
    assert (refused.status, daemon.log_level) == (415, "info")


# ---- memory ----


async def test_memory_is_what_the_ledger_says(daemon, admin):
    memory = (await call(admin, "GET", "/admin/v1/memory")).body
    assert memory.pop("machine_total_bytes") == psutil.virtual_memory().total
    assert 0 < memory.pop("machine_available_bytes") < psutil.virtual_memory().total
    parts = [model.pop("parts") for model in memory["models"]]
    assert parts[0]["weights_bytes"] == 100
    assert (sum(parts[0][f"{name}_bytes"] for name in MEMORY.parts), parts[0]["held_bytes"], parts[2]) == (300, 300, None)
    assert memory == {
        "limit_bytes": 1000,
        "reserved_bytes": 300,
        "excess_bytes": 0,
        "free_bytes": 700,
        "daemon_bytes": 0,
        "relief": {"enabled": False, "level": None, "measures": [], "record": []},
        "exchange": {"turns": [], "closed": []},
        "models": [
            {"model": "tiny", "reserved_bytes": 300, "used_bytes": 300, "cache_share_bytes": None},
            {"model": "org/Name-4bit", "reserved_bytes": 0, "used_bytes": 300, "cache_share_bytes": None},
            {"model": "other", "reserved_bytes": 0, "used_bytes": None, "cache_share_bytes": None},
        ],
    }


async def test_what_is_done_about_pressure_is_told(daemon, admin):
    entry = ReliefEntry(SINCE, Measure.EVICT_BLOCKS, is_lifted=False, level=PressureLevel.WARNING, models=("tiny",), freed=7)
    relief = ReliefState(is_on=True, level=PressureLevel.CRITICAL, measures=LADDER[:2], record=(entry,))
    daemon.memory = MemoryFacts(limit=1000, reserved={"tiny": 300}, excess=50, relief=relief, daemon=9)
    memory = (await call(admin, "GET", "/admin/v1/memory")).body
    assert (memory["excess_bytes"], memory["free_bytes"], memory["daemon_bytes"]) == (50, 650, 9)
    told = {"measure": "evict_blocks", "lifted": False, "level": "warning", "models": ["tiny"], "freed_bytes": 7}
    assert memory["relief"] == {
        "enabled": True,
        "level": "critical",
        "measures": ["shrink_buffers", "evict_blocks"],
        "record": [{"time": "2026-01-02T03:04:05.500Z", **told}],
    }


async def test_who_waits_for_a_place_is_told(daemon, admin):
    exchange = ExchangeState((TurnState("other", 500, requests=2, waited=3.5, likely=20.0),), closed=("tiny",))
    daemon.memory = MemoryFacts(limit=1000, reserved={"tiny": 600}, exchange=exchange)
    told = {"model": "other", "needs_bytes": 500, "requests": 2, "waiting_seconds": 3.5, "expected_seconds": 20.0}
    assert (await call(admin, "GET", "/admin/v1/memory")).body["exchange"] == {"turns": [told], "closed": ["tiny"]}
    assert (await call(admin, "GET", "/admin/v1/status")).body["memory"]["exchange"] == {"turns": [told], "closed": ["tiny"]}


async def test_a_limit_that_was_lowered_leaves_nothing_free(daemon, admin):
    daemon.memory = type(daemon.memory)(limit=100, reserved={"tiny": 300})
    memory = (await call(admin, "GET", "/admin/v1/memory")).body
    assert (memory["limit_bytes"], memory["reserved_bytes"], memory["free_bytes"]) == (100, 300, 0)


def test_the_fakes_are_of_the_real_kind():
    assert isinstance(running_status(), ModelStatus)
    assert model_status().state is ModelState.READY
