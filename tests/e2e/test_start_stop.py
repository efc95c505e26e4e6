"""Starting, refusing to start, draining, stopping."""

import json
import signal
import time

import psutil

from tests.e2e.client import post, stream
from tests.e2e.conftest import ENDLESS, TINY
from tests.support.commands import mlxd
from tests.support.forked import new_python_m
from tests.support.patience import PATIENCE

BUSY = {"model": "tiny", "prompt": "busy"}  # of a worker that has no model: an answer that goes on for ever
FAKE = '[models.tiny]\nsource = "fake/ok"\n'  # where it does not matter what the model is


def test_health_answers_while_the_model_is_still_loading(start_daemon):
    daemon = start_daemon(start=new_python_m)
    daemon.wait_live()
    status, body = daemon.admin("/readyz")
    if status == 503:  # a tiny model loads in seconds, but not before the daemon answers
        assert body["models"] == {"tiny": "loading"}
        status, _, body = post(daemon, "/v1/completions", ENDLESS | {"max_tokens": 1})
        assert status == 200 or body["error"]["code"] == "model_loading"
    assert daemon.events("daemon_started")
    loading, ready = daemon.events("model_loading"), daemon.events("model_ready")
    assert loading
    assert not ready or ready[0]["time"] > daemon.events("daemon_started")[0]["time"]
    daemon.wait_ready()


def test_the_banner_says_where_and_what(start_daemon):
    daemon = start_daemon(FAKE, module="tests.support.fake_daemon")
    daemon.wait_ready()
    banner = (daemon.directory / "out.txt").read_text()
    assert daemon.url in banner
    assert "tiny" in banner
    assert f"curl {daemon.url}/v1/chat/completions" in banner


def test_term_drains_and_leaves_nothing(start_daemon):
    daemon = start_daemon()
    daemon.wait_ready()
    worker = daemon.model()["pid"]
    with stream(daemon, ENDLESS | {"max_tokens": 300}) as running:
        running.first()
        daemon.process.send_signal(signal.SIGTERM)
        events = list(running)
    assert events[-1] == "[DONE]"
    assert daemon.process.wait(PATIENCE) == 0
    assert not psutil.pid_exists(worker)
    assert not daemon.socket.exists()


def test_a_stream_that_outlives_the_drain_timeout_ends_with_an_error(start_daemon):
    daemon = start_daemon(FAKE, server='drain_timeout = "200ms"', module="tests.support.fake_daemon")
    daemon.wait_ready()
    with stream(daemon, BUSY) as running:
        running.first()
        daemon.process.send_signal(signal.SIGTERM)
        events = list(running)
    assert json.loads(events[-1])["error"]["code"] == "shutting_down"
    assert daemon.process.wait(PATIENCE) == 0


def test_while_draining_new_requests_are_refused_and_readyz_says_so(start_daemon):
    daemon = start_daemon(FAKE, module="tests.support.fake_daemon")
    daemon.wait_ready()
    port = daemon.port
    with stream(daemon, BUSY) as running:
        running.first()
        daemon.process.send_signal(signal.SIGTERM)
        daemon.until(lambda: daemon.admin("/readyz")[0] == 503, "not ready")
        refused = False
        try:
            post(type("At", (), {"port": port})(), "/v1/completions", BUSY)
        except ConnectionRefusedError:
            refused = True
        assert refused
        daemon.process.send_signal(signal.SIGTERM)  # the second one stops at once
        events = list(running)
    assert json.loads(events[-1])["error"]["code"] == "shutting_down"
    assert daemon.process.wait(PATIENCE) == 0


def test_a_second_daemon_on_the_same_socket_refuses_to_start(start_daemon):
    daemon = start_daemon(FAKE, module="tests.support.fake_daemon")
    daemon.wait_live()
    second = mlxd("--config", daemon.config)
    assert second.returncode == 69
    assert str(daemon.socket) in second.stderr
    assert daemon.admin("/livez")[0] == 200


def test_a_socket_left_by_a_killed_daemon_is_taken_over(start_daemon):
    daemon = start_daemon(FAKE, module="tests.support.fake_daemon")
    daemon.wait_live()
    daemon.process.kill()
    daemon.process.wait()
    assert daemon.socket.exists()
    daemon.start()
    daemon.wait_ready()
    assert daemon.stop() == 0


def test_a_bad_file_ends_with_78_and_every_error(tmp_path):
    config = tmp_path / "bad.toml"
    config.write_text('[server]\nlisen = "127.0.0.1:0"\n[models.a]\nsource = 5\n')
    ended = mlxd("--config", config)
    assert ended.returncode == 78
    assert 'bad.toml:2: server.lisen: unknown key; did you mean "listen"?' in ended.stderr
    assert "bad.toml:4: models.a.source" in ended.stderr


def test_commands_and_exit_codes(tmp_path):
    good = tmp_path / "good.toml"
    good.write_text('[models.a]\nsource = "builtin:smollm2-135m"\n')
    assert mlxd("validate", good, start=new_python_m).returncode == 0
    assert json.loads(mlxd("schema").stdout)["type"] == "object"
    assert mlxd("--nonsense").returncode == 64
    assert mlxd("frobnicate").returncode == 64
    assert mlxd("--version").stdout.startswith("mlxd ")
    unreachable = mlxd("status", "--admin", f"unix:{tmp_path}/none.sock")
    assert unreachable.returncode == 69
    assert "none.sock" in unreachable.stderr


def test_status_shows_the_running_daemon(start_daemon):
    daemon = start_daemon(FAKE, module="tests.support.fake_daemon")
    daemon.wait_ready()
    shown = mlxd("status", "--config", daemon.config)
    assert shown.returncode == 0, shown.stderr
    assert "tiny" in shown.stdout
    assert "ready" in shown.stdout
    assert json.loads(mlxd("status", "--config", daemon.config, "--json").stdout)["models"][0]["id"] == "tiny"


def test_two_models_each_in_a_process_of_its_own_and_mlx_in_none_but_these(start_daemon):
    daemon = start_daemon(TINY + '[models.other]\nsource = "{dir}/model"\n', start=new_python_m)
    daemon.wait_ready()
    assert daemon.model("tiny")["pid"] != daemon.model("other")["pid"]
    for name in ("tiny", "default", "other"):
        assert post(daemon, "/v1/completions", ENDLESS | {"model": name, "max_tokens": 2})[0] == 200
    files = {entry.path for entry in psutil.Process(daemon.process.pid).memory_maps()}
    assert not [path for path in files if "mlx" in path.rsplit("/", 1)[-1]]
    assert [path for path in {entry.path for entry in psutil.Process(daemon.model()["pid"]).memory_maps()} if "libmlx" in path]


def test_the_daemon_is_live_within_a_second_of_its_start(start_daemon):
    """Generous: what is asserted is that nothing heavy (a model, MLX) stands between start and health."""
    daemon = start_daemon(FAKE, module="tests.support.fake_daemon", start=new_python_m)
    daemon.wait_live()
    assert time.monotonic() - daemon.started_at < 30
    assert not daemon.events("model_ready")
