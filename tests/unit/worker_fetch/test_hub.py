"""Models of a hub, with the real hub library in a process of its own and a hub on loopback."""

import json
import os
from pathlib import Path

import pytest

from mlxd.errors import ModelSourceError
from mlxd.worker.fetch.directory import check_model_directory
from mlxd.worker.fetch.hub import HubModel
from tests.support.commands import ended
from tests.unit.worker_fetch.fake_hub import serve_hub
from tests.unit.worker_fetch.model_files import safetensors, shard, write_model

NOWHERE = "http://127.0.0.1:9"  # discard: nothing listens there


@pytest.fixture
def hub(tmp_path):
    with serve_hub() as hub:
        hub.repositories["org/tiny"] = write_model(tmp_path / "tiny")
        yield hub


class Caller:
    def __init__(self, endpoint, home):
        self.environment = os.environ | {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
            self.environment.pop(name, None)

    def pull(self, source, **environment):
        return self._run("mlxd.worker.pull", source, environment)

    def load(self, source, **environment):
        return self._run("tests.unit.worker_fetch.load_child", source, environment)

    def _run(self, module, source, environment):
        result = ended(module, source, env=self.environment | environment)
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        assert result.returncode == (1 if "error" in lines[-1] else 0), result.stderr
        return lines


@pytest.fixture
def call(hub, tmp_path):
    return Caller(hub.url, tmp_path / "hf")


def path_in(lines):
    assert "path" in lines[-1], lines
    return Path(lines[-1]["path"])


def error_in(lines, code="model_source"):
    assert lines[-1]["error"]["code"] == code
    return lines[-1]["error"]["message"]


def test_downloaded_with_progress_and_without_what_is_not_needed(hub, call, tmp_path):
    repository = hub.repositories["org/tiny"]
    for name in ("pytorch_model.bin", "code.py", "original.pth"):
        (repository / name).write_bytes(b"not for us")
    shard(repository, 3)
    lines = call.pull("org/tiny")
    check_model_directory(path_in(lines))
    assert not {"pytorch_model.bin", "code.py", "original.pth"} & {path.name for path in path_in(lines).iterdir()}
    size = sum(path.stat().st_size for path in path_in(lines).iterdir())
    assert lines[-2] == {"stage": "fetching", "done": size, "total": size}
    assert path_in(lines).is_relative_to(tmp_path / "hf")


def test_a_cached_model_is_loaded_without_a_question_and_pulled_with_one(hub, call):
    first = path_in(call.pull("org/tiny"))
    hub.requests.clear()
    assert call.load("org/tiny") == [{"path": str(first)}]
    assert hub.requests == []
    (hub.repositories["org/tiny"] / "model.safetensors").write_bytes(safetensors(bytes(16)))
    second = path_in(call.pull("org/tiny"))
    assert second != first
    assert call.load("org/tiny") == [{"path": str(second)}]


def test_offline(hub, call):
    message = error_in(call.load("org/tiny", HF_HUB_OFFLINE="1"))
    assert message.startswith("org/tiny is not complete in the cache at")
    assert "HF_HUB_OFFLINE is set" in message
    path = path_in(call.load("org/tiny"))
    hub.requests.clear()
    assert path_in(call.load("org/tiny", HF_HUB_OFFLINE="1")) == path
    assert path_in(call.pull("org/tiny", HF_HUB_OFFLINE="1")) == path
    assert hub.requests == []


def test_no_network(call):
    message = error_in(call.load("org/tiny", HF_ENDPOINT=NOWHERE), "model_unreachable")
    assert f"cannot be fetched from {NOWHERE}" in message
    assert "check the network and the proxy" in message
    path = path_in(call.load("org/tiny"))
    assert path_in(call.pull("org/tiny", HF_ENDPOINT=NOWHERE)) == path


def test_a_snapshot_that_lost_a_file_is_completed(call):
    path = path_in(call.pull("org/tiny"))
    (path / "model.safetensors").unlink()
    assert path_in(call.load("org/tiny")) == path
    check_model_directory(path)


def test_a_revision(hub, call):
    commit = hub.commit("org/tiny")
    assert path_in(call.load(f"org/tiny@{commit}")).name == commit
    assert path_in(call.load("org/tiny@main")).name == commit
    assert error_in(call.load("org/tiny@v9")).startswith("org/tiny has no revision 'v9' on the hub")


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "RepoNotFound", "org/tiny is not on the hub at"),
        (401, "RepoNotFound", "org/tiny is not on the hub at"),
        (403, "GatedRepo", "org/tiny is gated: accept its conditions"),
        (403, "", "the hub at http://127.0.0.1"),
    ],
)
def test_refusals(hub, call, status, code, message):
    hub.refusals["org/tiny"] = (status, code)
    assert error_in(call.load("org/tiny")).startswith(message)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_hub_in_trouble_is_worth_another_try(hub, call, status):
    hub.refusals["org/tiny"] = (status, "")
    assert "http://127.0.0.1" in error_in(call.load("org/tiny"), "model_unreachable")


def test_a_repository_without_weights_for_mlx(hub, call):
    (hub.repositories["org/tiny"] / "model.safetensors").unlink()
    assert "has no weights (model*.safetensors)" in error_in(call.load("org/tiny"))


@pytest.mark.parametrize("source", ["tiny", "", "a/b/c", "org/", "/x y", "org/tiny@", "http://host/x", "org/ti ny"])
def test_what_is_no_source(source):
    with pytest.raises(ModelSourceError, match="is no model source; expected"):
        HubModel.parse(source)


def test_names():
    assert HubModel.parse("org/na.me-1") == HubModel("org/na.me-1")
    assert HubModel.parse("org/name@refs/pr/1") == HubModel("org/name", "refs/pr/1")
    assert str(HubModel.parse("org/name@v1.0")) == "org/name@v1.0"
