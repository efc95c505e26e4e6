"""Adapters of a hub: what of them is fetched, and when the hub is asked again."""

import pytest

from mlxd.errors import AdapterSourceError, ModelSourceError
from mlxd.worker.facts.adapters.directory import read_adapter
from mlxd.worker.fetch.adapter import fetch_adapter
from tests.support.adapter_files import write_mlx_lm, write_peft
from tests.unit.worker_fetch.fake_hub import serve_hub
from tests.unit.worker_fetch.test_hub import Caller, error_in, path_in

LAYERS = {"model.layers.0.self_attn.q_proj": (8, 8)}


@pytest.fixture
def hub(tmp_path):
    with serve_hub() as hub:
        hub.repositories["org/adapter"] = write_peft(tmp_path / "adapter", LAYERS)
        yield hub


class Fetching(Caller):
    def fetch(self, source, **environment):
        return self._run("tests.unit.worker_fetch.adapter_child", source, environment)


@pytest.fixture
def call(hub, tmp_path):
    return Fetching(hub.url, tmp_path / "hf")


def test_its_files_alone_are_fetched(hub, call):
    for name in ("README.md", "code.py", "optimizer.pt", "model.safetensors", "tokenizer.json"):
        (hub.repositories["org/adapter"] / name).write_bytes(b"not for us")
    found = path_in(call.fetch("org/adapter"))
    assert {path.name for path in found.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
    assert read_adapter(found).rank == 4


def test_the_hub_is_asked_again_only_where_that_is_wanted(hub, call):
    first = path_in(call.fetch("org/adapter"))
    write_peft(hub.repositories["org/adapter"], LAYERS, seed=1)
    hub.requests.clear()
    assert path_in(call.fetch("org/adapter")) == first
    assert hub.requests == []
    assert path_in(call.fetch("org/adapter", ANEW="1")) != first


def test_a_repository_that_is_none(hub, call, tmp_path):
    hub.repositories["org/damaged"] = write_mlx_lm(tmp_path / "damaged", LAYERS)
    (hub.repositories["org/damaged"] / "adapters.safetensors").unlink()
    assert "adapters.safetensors is missing" in error_in(call.fetch("org/damaged"), "adapter_source")
    assert "is not on the hub" in error_in(call.fetch("org/nowhere"))


def test_a_local_one_is_where_it_is(tmp_path):
    assert fetch_adapter(str(tmp_path), anew=False) == tmp_path
    with pytest.raises(AdapterSourceError):
        fetch_adapter("~nobody-of-that-name/adapter", anew=False)
    with pytest.raises(ModelSourceError):
        fetch_adapter("builtin:smollm2-135m", anew=False)
