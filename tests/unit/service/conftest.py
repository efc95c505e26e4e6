"""A stand-in for systemd's end of the protocol, and daemons with workers that have no MLX."""

import contextlib
import os
import signal
import socket
import time

import psutil
import pytest

from tests.support.forked import python_m
from tests.support.patience import PATIENCE


class Systemd:
    """Listens on a notify socket. ``heard`` has every message so far, as a dictionary of its lines."""

    def __init__(self, address):
        self.address = address
        self.heard = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)

    def close(self):
        self._socket.close()

    def hear(self, patience=PATIENCE):
        """The next message. TimeoutError where none comes."""
        self._socket.settimeout(patience)
        text = self._socket.recv(65536).decode()
        self.heard.append(dict(line.split("=", 1) for line in text.split("\n")))
        return self.heard[-1]

    def hear_for(self, seconds):
        """Everything that is said in that time."""
        before, deadline = len(self.heard), time.monotonic() + seconds
        with contextlib.suppress(TimeoutError):
            while (left := deadline - time.monotonic()) > 0:
                self.hear(left)
        return self.heard[before:]

    def wait_for(self, **lines):
        """The next message with these lines; those before it are in ``heard``."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            message = self.hear()
            if lines.items() <= message.items():
                return message
        raise AssertionError(f"never said {lines}, but {self.heard}")

    def wait_for_status(self, part):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            message = self.hear()
            if part in message.get("STATUS", ""):
                return message
        raise AssertionError(f'no status with "{part}" in {self.heard}')


class Process:
    """``python -m tests.support.fake_daemon`` with ``arguments``; what it prints is in ``directory``."""

    def __init__(self, directory, *arguments, **environ):
        self._out = directory / "stdout.txt"
        self._err = directory / "stderr.txt"
        with self._out.open("ab") as out, self._err.open("ab") as err:
            self.process = python_m("tests.support.fake_daemon", *arguments, stdout=out, stderr=err, env=os.environ | environ)

    @property
    def out(self):
        return self._out.read_text()

    @property
    def err(self):
        return self._err.read_text()

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if found := condition():
                return found
            assert self.process.poll() is None, f"it ended with {self.process.returncode} before {what}:\n{self.err}"
            time.sleep(0.04)
        raise AssertionError(f"never happened: {what}\n{self.err}")

    @property
    def workers(self):
        return psutil.Process(self.process.pid).children()

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """By TERM; it ends with 0."""
        self.signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, self.err

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE)


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    address = str(tmp_path / "notify") if request.param == "path" else f"@mlxd-test-{os.getpid()}"
    found = Systemd(address)
    yield found
    found.close()


@pytest.fixture
def start(tmp_path):
    started = []

    def start(*arguments, **environ):
        started.append(Process(tmp_path, *arguments, **environ))
        return started[-1]

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def write_config(tmp_path):
    """Writes the file as editors do, by a rename; returns its path. ``listen`` is the key of that name."""

    def write(models='[models.tiny]\nsource = "fake/ok"\n', *, listen="listen"):
        text = f'[server]\n{listen} = "127.0.0.1:0"\n[admin]\nlisten = "unix:{tmp_path}/admin.sock"\n{models}'
        new = tmp_path / "mlxd.new"
        new.write_text(text)
        return new.replace(tmp_path / "mlxd.toml")

    return write
