"""A model in a directory of this machine: what may come by itself, and what has to be repaired."""

import errno

import pytest

from mlxd.errors import ModelSourceError, ModelUnreachableError
from mlxd.worker.fetch.resolve import resolve
from mlxd.worker.fetch.store import ModelStore
from tests.unit.worker_fetch.model_files import write_model


def load(source):
    return resolve(str(source), lambda *_: None, None)


def kind_of(source):
    with pytest.raises(ModelSourceError) as caught:
        load(source)
    return type(caught.value)


def test_a_whole_one(tmp_path):
    assert load(write_model(tmp_path / "model")) == tmp_path / "model"


def test_a_disk_that_is_not_mounted_may_be_soon(tmp_path):
    assert kind_of(tmp_path / "disk" / "model") is ModelUnreachableError
    (tmp_path / "disk" / "model").mkdir(parents=True)  # an empty mount point
    assert kind_of(tmp_path / "disk" / "model") is ModelUnreachableError
    write_model(tmp_path / "disk" / "model")
    assert load(tmp_path / "disk" / "model") == tmp_path / "disk" / "model"


def test_what_is_damaged_has_to_be_repaired(tmp_path):
    model = write_model(tmp_path / "model")
    (model / "config.json").write_text("{")
    assert kind_of(model) is ModelSourceError
    write_model(model)
    (model / "model.safetensors").write_bytes(b"cut")
    assert kind_of(model) is ModelSourceError
    assert kind_of(model / "config.json") is ModelSourceError  # a file


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, ModelUnreachableError), (errno.EIO, ModelUnreachableError), (errno.EACCES, ModelSourceError)],
)
def test_a_full_disk_may_have_room_later_and_a_forbidden_one_is_the_operator_s(tmp_path, number, kind):
    def build(_):
        raise OSError(number, "no")

    def check(_):
        raise ModelSourceError("not there")

    with pytest.raises(ModelSourceError) as caught:
        ModelStore(tmp_path / "store").obtain("x", build=build, check=check)
    assert type(caught.value) is kind
