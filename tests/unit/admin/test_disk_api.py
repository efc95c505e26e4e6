"""GET and DELETE /admin/v1/cache, DELETE …/models/{id}/cache: what is kept on disk."""

import threading
from dataclasses import replace

import msgspec
import pytest

from mlxd.config.schema import ModelTable
from mlxd.control.disk_directories import DiskDirectories
from mlxd.disk_terms import DiskFigures, DiskState
from tests.support.statuses import CACHE, HEARTBEAT, running_status
from tests.unit.admin.conftest import bearer, call
from tests.unit.disk_cache.blocks import TERMS, block, shelf


def using(name, path, figures=None, **disk):
    """A model that keeps its blocks in ``path``."""
    status = running_status(name, heartbeat=msgspec.structs.replace(HEARTBEAT, cache=msgspec.structs.replace(CACHE, disk=figures)))
    cache = {"disk": {"path": str(path), **disk}}
    table = ModelTable.model_validate({"source": "org/tiny", "batching": {"mode": "continuous"}, "cache": cache})
    return replace(status, config=table)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def full(path, daemon):
    """Two models that share a directory, one of which is off, and a third one that keeps nothing."""
    for model, count in (("one", 2), ("two", 1)):
        shelf(path, model.encode(), model=model).write([block(number) for number in range(count)], TERMS)
    off = DiskFigures(state=DiskState.OFF, reason="the disk does not answer")
    one = using("one", path, DiskFigures(state=DiskState.ON), limit="1GiB")
    two = using("two", f"{path}/../cache", off, limit="1GiB")
    daemon.models.all = [one, two, running_status("three")]


async def test_a_directory_is_shown_once_with_all_that_is_in_it(full, path, admin):
    answer = await call(admin, "GET", "/admin/v1/cache")
    assert answer.status == 200
    (directory,) = answer.body["directories"]
    caches = directory.pop("caches")
    assert directory.pop("bytes") > 3000
    assert directory == {
        "path": str(path),
        "limit_bytes": 2**30,
        "users": [
            {"model": "one", "state": "on", "reason": ""},
            {"model": "two", "state": "off", "reason": "the disk does not answer"},
        ],
        "problem": None,
    }
    assert [(cache["model"], cache["blocks"]) for cache in caches] == [("two", 1), ("one", 2)]
    assert all(cache["bytes"] >= 1000 and cache["used"].endswith("Z") for cache in caches)
    assert {cache["weights"] for cache in caches} == {b"one".hex(), b"two".hex()}


async def test_without_a_cache_on_disk_there_is_no_directory(admin):
    assert (await call(admin, "GET", "/admin/v1/cache")).body == {"directories": []}
    assert (await call(admin, "DELETE", "/admin/v1/cache")).body == {"removed": []}


async def test_a_directory_that_is_not_there_yet_holds_nothing(path, daemon, admin):
    daemon.models.all = [using("one", path)]
    (directory,) = (await call(admin, "GET", "/admin/v1/cache")).body["directories"]
    assert (directory["bytes"], directory["caches"], directory["problem"]) == (0, [], None)
    assert not path.exists()


async def test_one_that_is_no_cache_says_so_and_stays(path, daemon, admin):
    path.mkdir()
    (path / "thesis.txt").touch()
    daemon.models.all = [using("one", path)]
    (directory,) = (await call(admin, "GET", "/admin/v1/cache")).body["directories"]
    assert "holds no cache of mlxd" in directory["problem"]
    (removed,) = (await call(admin, "DELETE", "/admin/v1/cache")).body["removed"]
    assert "holds no cache of mlxd" in removed["problem"]
    assert (path / "thesis.txt").exists()


async def test_a_model_s_blocks_are_removed_and_others_stay(full, admin):
    (removed,) = (await call(admin, "DELETE", "/admin/v1/models/one/cache")).body["removed"]
    assert (removed["blocks"], removed["problem"]) == (2, None)
    (directory,) = (await call(admin, "GET", "/admin/v1/cache")).body["directories"]
    assert [cache["model"] for cache in directory["caches"]] == ["two"]
    assert (await call(admin, "DELETE", "/admin/v1/models/nobody/cache")).status == 404


async def test_all_is_removed(full, path, admin):
    (removed,) = (await call(admin, "DELETE", "/admin/v1/cache")).body["removed"]
    assert removed["blocks"] == 3
    assert removed["bytes"] > 3000
    assert list((path / "extents").iterdir()) == []


async def test_to_look_needs_less_than_to_remove(full, guarded):
    assert (await call(guarded, "GET", "/admin/v1/cache", headers=bearer("read-token"))).status == 200
    assert (await call(guarded, "DELETE", "/admin/v1/cache", headers=bearer("read-token"))).status == 403
    assert (await call(guarded, "DELETE", "/admin/v1/cache", headers=bearer("full-token"))).status == 200


async def test_a_disk_that_does_not_answer_holds_one_thread_and_nobody_else(path, monkeypatch):
    goes_on = threading.Event()
    monkeypatch.setattr("mlxd.control.disk_directories.survey", lambda _: goes_on.wait())
    disks = DiskDirectories(patience=0.01)
    before = set(threading.enumerate())
    assert [(await disks.survey(str(path))).problem for _ in range(3)] == ["the disk does not answer"] * 3
    assert len(set(threading.enumerate()) - before) == 1
    goes_on.set()
