import errno
import os
import threading

import pytest

from mlxd.errors import ModelSourceError
from mlxd.worker.fetch.directory import check_model_directory
from mlxd.worker.fetch.store import ModelStore
from tests.unit.worker_fetch.model_files import write_model


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models")


def obtain(store, build, **options):
    return store.obtain("m-v1", build=build, check=check_model_directory, **options)


def build(staging):
    return write_model(staging / "model")


def never(_staging):
    raise AssertionError("built although it was there")


def left_in(store):
    return sorted(path.name for path in store.root.iterdir())


def test_made_once_and_then_found(store):
    path = obtain(store, build)
    assert path == store.root / "m-v1"
    check_model_directory(path)
    assert left_in(store) == [".m-v1.lock", "m-v1"]
    assert obtain(store, never) == path


def test_a_published_model_that_was_damaged_is_made_again(store):
    path = obtain(store, build)
    (path / "tokenizer.json").unlink()
    obtain(store, build)
    check_model_directory(path)
    assert left_in(store) == [".m-v1.lock", "m-v1"]


@pytest.mark.parametrize("error", [ModelSourceError("no"), KeyboardInterrupt(), RuntimeError("bug")])
def test_a_failed_build_leaves_nothing(store, error):
    def fail(staging):
        write_model(staging / "model")
        raise error

    with pytest.raises(type(error)):
        obtain(store, fail)
    assert left_in(store) == [".m-v1.lock"]
    obtain(store, build)


def test_what_does_not_pass_the_check_is_not_published(store):
    def incomplete(staging):
        (write_model(staging / "model") / "config.json").unlink()
        return staging / "model"

    with pytest.raises(ModelSourceError, match=r"config\.json is missing"):
        obtain(store, incomplete)
    assert left_in(store) == [".m-v1.lock"]


def test_leftovers_of_killed_makers_are_swept_and_only_theirs(store):
    for name in (".m-v1.staging-dead", ".other-v1.staging-alive"):
        write_model(store.root / name / "model")
    obtain(store, build)
    assert left_in(store) == [".m-v1.lock", ".other-v1.staging-alive", "m-v1"]


def test_the_second_maker_waits_and_then_finds_it(store):
    entered, waits, built = threading.Event(), threading.Event(), []

    def slow(staging):
        entered.set()
        assert waits.wait(30)  # the other one has met the lock
        built.append(staging)
        return build(staging)

    first = threading.Thread(target=obtain, args=(store, slow))
    first.start()
    assert entered.wait(30)
    path = obtain(store, never, waiting=waits.set)
    first.join()
    check_model_directory(path)
    assert len(built) == 1


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "no space left for models in"),
        (errno.EDQUOT, "no space left for models in"),
        (errno.EROFS, "cannot write models to"),
        (errno.EIO, "cannot keep models in"),
    ],
)
def test_disk_errors_say_what_to_do(store, number, message):
    def fail(staging):
        raise OSError(number, os.strerror(number), str(staging / "model.safetensors"))

    with pytest.raises(ModelSourceError, match=message) as caught:
        obtain(store, fail)
    assert str(store.root) in caught.value.message
    assert "MLXD_HOME" in caught.value.message
    assert left_in(store) == [".m-v1.lock"]


def test_a_file_where_the_store_should_be(tmp_path):
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(ModelSourceError, match="cannot keep models in"):
        obtain(ModelStore(tmp_path / "models"), build)


def test_place(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MLXD_HOME", raising=False)
    assert ModelStore.from_environment().root == tmp_path / ".cache/mlxd/models"
    monkeypatch.setenv("MLXD_HOME", "")
    assert ModelStore.from_environment().root == tmp_path / ".cache/mlxd/models"
    monkeypatch.setenv("MLXD_HOME", "~/elsewhere")
    assert ModelStore.from_environment().root == tmp_path / "elsewhere/models"
