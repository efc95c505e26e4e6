"""A model with a cache on disk is ready when what is there can be found: the first request is often one that goes on with it."""

import threading

import pytest

from mlxd.disk_cache.session import Session
from mlxd.disk_terms import DiskSettings, DiskState
from mlxd.types import ResolvedLimits
from mlxd.worker.runtime import start
from tests.support.patience import PATIENCE
from tests.support.tiny_model import make_tiny_model
from tests.worker.worker_link import load_message

CACHE = 2**22


@pytest.fixture
def opening(monkeypatch):
    """Where a session is when it has begun to open its directory, and what it waits for then."""
    begun, goes_on, open_directory = threading.Event(), threading.Event(), Session._open

    def slowly(session):
        begun.set()
        assert goes_on.wait(PATIENCE)
        return open_directory(session)

    monkeypatch.setattr(Session, "_open", slowly)
    yield begun, goes_on
    goes_on.set()


def start_model(tmp_path):
    model = make_tiny_model(tmp_path / "model")
    order = load_message(model, mode="continuous", cache_kind="paged", block_size=8, cache_bytes=CACHE)
    disk = DiskSettings(path=str(tmp_path / "blocks"), limit=2**26)
    limits = ResolvedLimits(cache_bytes=CACHE, disk=disk)
    return start.start_model(order, limits, lambda *_: None, lambda needs: needs.cache)


def disk_of(model):
    return model.runner.cache().disk


def test_it_is_ready_when_its_directory_is_open(tmp_path, opening, monkeypatch):
    begun, goes_on = opening
    monkeypatch.setattr(start, "_OPENING", PATIENCE)
    warm = start._warm

    def then_the_disk(*args):
        warm(*args)
        assert begun.wait(PATIENCE)
        threading.Timer(0.1, goes_on.set).start()  # while it waits, or before: it is ready afterwards in both cases

    monkeypatch.setattr(start, "_warm", then_the_disk)
    model = start_model(tmp_path)
    try:
        assert disk_of(model).state is DiskState.ON
    finally:
        model.runner.close()


def test_a_directory_that_does_not_open_is_not_waited_for_and_told_of(tmp_path, opening, monkeypatch, caplog):
    _, goes_on = opening
    monkeypatch.setattr(start, "_OPENING", 0.01)
    model = start_model(tmp_path)
    try:
        assert disk_of(model).state is DiskState.OPENING
        assert "it is ready before its cache on disk is open" in caplog.text
    finally:
        goes_on.set()
        model.runner.close()
