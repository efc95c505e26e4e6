"""Adapters in the admin API: shown with what is known of them, loaded and unloaded by their names."""

import asyncio

import msgspec
import pytest

from mlxd.adapter_terms import AdapterFigures, AdapterFormat, AdapterState
from mlxd.config.adapter_table import AdapterTable
from mlxd.errors import AdapterSourceError
from mlxd.types import ModelState
from tests.support.patience import PATIENCE
from tests.support.statuses import HEARTBEAT, model_status, running_status
from tests.unit.admin.conftest import call

ADAPTERS = {
    "sql": AdapterTable(source="org/sql", aliases=("coder", "law-*"), load="eager", pin=True),
    "b.c": AdapterTable(source="/srv/bc"),
}
LOADED = AdapterFigures(
    name="sql", state=AdapterState.LOADED, format=AdapterFormat.PEFT, rank=8, scale=2.0, layers=28, bytes=3000, requests=2, loads=3,
    evictions=1, pinned=True,
)  # fmt: skip
BROKEN = AdapterFigures(name="b.c", state=AdapterState.FAILED, reason="/srv/bc has no adapter_config.json")
MODEL = "/admin/v1/models/org/Name-4bit"


@pytest.fixture
def adapted(daemon):
    memory = msgspec.structs.replace(HEARTBEAT.memory, adapters=2500)
    beat = msgspec.structs.replace(HEARTBEAT, adapters=(BROKEN, LOADED), memory=memory)
    daemon.models.all[1] = running_status("org/Name-4bit", aliases=("q",), adapters=ADAPTERS, heartbeat=beat)
    return daemon


async def test_they_are_listed_in_the_file_s_order_with_what_is_known_of_them(adapted, admin):
    answer = await call(admin, "GET", f"{MODEL}/adapters")
    assert (answer.status, answer.body["model"], answer.body["used_bytes"]) == (200, "org/Name-4bit", 2500)
    sql, other = answer.body["adapters"]
    assert sql == {
        "name": "sql",
        "id": "org/Name-4bit:sql",
        "aliases": ["coder", "law-*"],
        "source": "org/sql",
        "load": "eager",
        "pinned": True,
        "state": "loaded",
        "reason": None,
        "format": "peft",
        "rank": 8,
        "scale": 2.0,
        "layers": 28,
        "bytes": 3000,
        "requests": 2,
        "loads": 3,
        "evictions": 1,
    }
    assert (other["state"], other["reason"], other["layers"]) == ("failed", "/srv/bc has no adapter_config.json", None)
    assert (await call(admin, "GET", f"{MODEL}/adapters/sql")).body == sql
    assert (await call(admin, "GET", "/admin/v1/models/q/adapters/b.c")).body == other
    assert (await call(admin, "GET", MODEL)).body["adapters"] == [sql, other]


async def test_of_a_model_that_is_not_loaded_they_are_not_either(daemon, admin):
    daemon.models.all[2] = model_status("other", ModelState.STOPPED, adapters=ADAPTERS)
    body = (await call(admin, "GET", "/admin/v1/models/other/adapters")).body
    assert [(one["state"], one["pinned"]) for one in body["adapters"]] == [("unloaded", True), ("unloaded", False)]
    refused = await call(admin, "POST", "/admin/v1/models/other/adapters/sql/load?wait=1")
    assert (refused.status, refused.code) == (503, "model_loading")


@pytest.mark.parametrize("verb", ["load", "unload"])
async def test_one_is_loaded_and_unloaded_by_an_operation(adapted, admin, verb):
    adapted.models.may_settle.clear()
    begun = await call(admin, "POST", f"{MODEL}/adapters/sql/{verb}")
    assert (begun.status, begun.headers["Location"]) == (202, "/admin/v1/operations/op-1")
    assert (begun.body["kind"], begun.body["model"], begun.body["adapter"]) == (f"{verb}_adapter", "org/Name-4bit", "sql")
    await asyncio.wait_for(adapted.models.settling.wait(), PATIENCE)
    adapted.models.may_settle.set()
    await adapted.operations.get("op-1").wait()
    assert adapted.models.asked == [(verb, "org/Name-4bit", "sql")]
    assert (await call(admin, "POST", f"{MODEL}/adapters/sql/{verb}?wait=1")).body["state"] == "succeeded"


async def test_what_is_wrong_with_its_files_is_the_answer(adapted, admin):
    adapted.models.broken_adapters["b.c"] = AdapterSourceError("/srv/bc has no adapter_config.json")
    answer = await call(admin, "POST", f"{MODEL}/adapters/b.c/load?wait=1")
    assert (answer.status, answer.code) == (503, "adapter_failed")
    assert answer.body["error"]["message"] == 'the adapter "org/Name-4bit:b.c": /srv/bc has no adapter_config.json'


@pytest.mark.parametrize("path", ["adapters/none", "adapters/none/load", "adapters/sql:x/unload"])
async def test_an_adapter_that_nobody_configured(adapted, admin, path):
    answer = await call(admin, "POST" if path.endswith("load") else "GET", f"{MODEL}/{path}")
    assert (answer.status, answer.code) == (404, "adapter_not_found")
    assert answer.body["error"]["message"].endswith("there are: sql, b.c")
