"""When what is said, with a systemd that the test is."""

import asyncio
import contextlib
import dataclasses
import time

import pytest
import structlog

from mlxd.config.schema import ModelTable
from mlxd.service import manager
from mlxd.service.manager import ServiceManager
from tests.support.statuses import running_status
from tests.unit.service.conftest import Systemd


class Daemon:
    """``models`` and ``line`` are the test's to change."""

    def __init__(self):
        self.models = []
        self.line = "fine"

    def managed(self, environ):
        return ServiceManager(environ, models=lambda: self.models, describe=lambda: self.line)


@pytest.fixture
def daemon():
    return Daemon()


@pytest.fixture
def systemd(tmp_path):
    found = Systemd(str(tmp_path / "notify"))
    yield found
    found.close()


@pytest.fixture
async def running(daemon, systemd, monkeypatch):
    """Looks every 10 ms; systemd wants a sign of life every 60 ms."""
    monkeypatch.setattr(manager, "_LOOK", 0.01)
    managed = daemon.managed({"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "60000"})
    task = asyncio.create_task(managed.run())
    yield managed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def hear(systemd, **lines):
    return await asyncio.to_thread(systemd.wait_for, **lines)


async def hear_for(systemd, seconds):
    return await asyncio.to_thread(systemd.hear_for, seconds)


async def test_ready_comes_with_the_status_then_signs_of_life(running, systemd):
    assert await hear(systemd) == {"READY": "1", "STATUS": "fine"}
    for _ in range(3):
        assert await hear(systemd) == {"WATCHDOG": "1"}


async def test_the_status_is_said_when_it_changes_and_only_then(running, daemon, systemd):
    await hear(systemd, READY="1")
    daemon.line = "worse\nand worse"
    await hear(systemd, STATUS="worse and worse")
    for _ in range(3):
        assert await hear(systemd) == {"WATCHDOG": "1"}


async def test_a_reload_is_begun_and_ended_however_it_ends(running, systemd):
    with contextlib.suppress(ZeroDivisionError), running.reloading():
        assert int((await hear(systemd, RELOADING="1"))["MONOTONIC_USEC"]) > 0
        _ = 1 / 0
    await hear(systemd, READY="1")


async def test_after_stopping_it_is_never_ready_again(running, daemon, systemd):
    await hear(systemd, READY="1")
    with running.reloading():
        daemon.line = "stopping"
        running.stopping()
    await hear(systemd, STOPPING="1", STATUS="stopping")
    assert all(message == {"WATCHDOG": "1"} for message in await hear_for(systemd, 0.2))


async def test_the_watchdog_is_not_fed_while_a_hung_worker_is_neglected(running, daemon, systemd, monkeypatch):
    """``hang_timeout`` is short, and so is what a load may be silent for."""
    monkeypatch.setattr("mlxd.service.progress.LOADING_SILENCE", 0.05)
    await hear(systemd, WATCHDOG="1")
    hung = ModelTable.model_validate({"source": "org/a", "worker": {"hang_timeout": "50ms", "heartbeat_interval": "10ms"}})
    daemon.models = [dataclasses.replace(running_status(), config=hung)]
    while not running._neglected:  # noqa: ASYNC110 - there is no event
        await asyncio.sleep(0.01)
    await hear_for(systemd, 0.01)  # what was on its way
    assert await hear_for(systemd, 0.3) == []
    daemon.models = []  # dealt with
    await hear(systemd, WATCHDOG="1")


async def test_the_watchdog_is_not_fed_while_the_event_loop_is_stuck(running, systemd):
    await hear(systemd, WATCHDOG="1")
    systemd.hear_for(0.01)  # what was on its way
    time.sleep(0.3)  # noqa: ASYNC251 - that is the point
    assert systemd.hear_for(0.01) == []
    await hear(systemd, WATCHDOG="1")


async def test_a_defect_is_logged_before_it_starves_the_watchdog(running, daemon, systemd):
    await hear(systemd, WATCHDOG="1")
    with structlog.testing.capture_logs() as logs:
        daemon.models = [None]
        while not logs:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)
    assert logs[0]["event"] == "watchdog_starved"
    assert logs[0]["exc_info"]


async def test_without_a_watchdog_only_news_are_told(daemon, systemd, monkeypatch):
    monkeypatch.setattr(manager, "_LOOK", 0.01)
    task = asyncio.create_task(daemon.managed({"NOTIFY_SOCKET": systemd.address}).run())
    assert await hear(systemd) == {"READY": "1", "STATUS": "fine"}
    assert await hear_for(systemd, 0.2) == []
    task.cancel()


async def test_without_a_service_manager_nothing_happens():
    def never():
        raise AssertionError("nobody asked")

    managed = ServiceManager({"WATCHDOG_USEC": "60000"}, models=never, describe=never)
    async with asyncio.timeout(5):
        await managed.run()
    with managed.reloading():
        managed.stopping()
