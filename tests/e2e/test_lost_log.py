"""A daemon whose log cannot be written any more: it serves, keeps its workers, and obeys."""

import shutil
import signal
import subprocess
import sys

import pytest

from tests.e2e.client import post
from tests.e2e.daemon_process import DaemonProcess

FAKE = "tests.support.fake_daemon"
TOML = '[models.tiny]\nsource = "fake/ok"\n'
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "hello"}]}
DROPPED = "mlxd_log_lines_dropped_total"


@pytest.fixture
def logging_daemon(tmp_path):
    """Its log goes to a file in a directory of its own."""
    (tmp_path / "logs").mkdir()
    daemon = DaemonProcess(tmp_path, TOML, module=FAKE)
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace("[log]\n", f'[log]\nfile = "{tmp_path}/logs/mlxd.log"\n'))
    with daemon:
        daemon.wait_ready()
        yield daemon


def answers(daemon):
    return [post(daemon, "/v1/chat/completions", body)[0] for body in (CHAT, CHAT | {"model": "nobody"})]


def test_without_its_directory_it_serves_and_the_workers_stay(logging_daemon):
    daemon = logging_daemon
    worker = daemon.model()["pid"]
    shutil.rmtree(daemon.directory / "logs")
    assert answers(daemon) == [200, 404]
    assert daemon.model()["pid"] == worker
    dropped = daemon.metrics()[DROPPED]
    assert dropped > 0
    (daemon.directory / "logs").mkdir()
    answers(daemon)
    assert "log_lines_dropped" in (daemon.directory / "logs" / "mlxd.log").read_text()
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: daemon.metrics()['mlxd_config_reloads_total{result="unchanged",trigger="signal"}'], "a reload")
    shutil.rmtree(daemon.directory / "logs")
    assert daemon.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("redirection", [">/dev/full 2>/dev/full", "<&- >&- 2>&-"])
def test_with_streams_that_take_nothing_it_starts_and_serves(tmp_path, redirection):
    daemon = DaemonProcess(tmp_path, TOML, module=FAKE)
    command = f'exec "$0" -m {FAKE} --config "$1" {redirection}'
    daemon.process = subprocess.Popen(["/bin/sh", "-c", command, sys.executable, str(daemon.config)])
    try:
        daemon.wait_ready()
        assert answers(daemon) == [200, 404]
        assert daemon.stop() == 0
    finally:
        daemon.__exit__()
