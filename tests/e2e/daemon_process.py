"""A real daemon in a process of its own, on port 0 and a unix socket, for end-to-end tests."""

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil

from tests.support.forked import daemon_m
from tests.support.patience import PATIENCE


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self._path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class DaemonProcess:
    """``with DaemonProcess(directory, toml) as daemon``: started, and killed at the end if the test did not stop it.

    ``[server]`` and ``[admin]`` listen addresses are written by this class; ``toml`` gives the rest. ``{dir}`` in it is the directory.
    ``module``: what to run, see ``tests.support.fake_daemon``. ``start``: how, see ``tests.support.forked``.
    """

    def __init__(self, directory: Path, toml: str, *, server="", env=None, module="mlxd", start=daemon_m):
        self.directory = directory
        self.socket = directory / "admin.sock"
        self.config = directory / "mlxd.toml"
        self.log = directory / "daemon.log"
        self.config.write_text(self.compose(toml, server=server))
        self._module = module
        self._start = start
        self._env = {**os.environ, **(env or {})}
        self._addresses: dict[str, str] = {}  # by role, since the file was saved
        self._file = ""  # the digest of the one they are of
        self.started_at = 0.0

    def compose(self, toml, *, server="", listen="127.0.0.1:0", level="debug"):
        """The text of the file."""
        return (
            f'[server]\nlisten = "{listen}"\n{server}\n[admin]\nlisten = "unix:{self.socket}"\n[log]\nformat = "json"\nlevel = "{level}"\n'
            + toml.replace("{dir}", str(self.directory))
        )

    def save(self, toml, **options):
        """Put another file in the place of the one there is, as editors do."""
        new = self.config.with_suffix(".new")
        new.write_text(self.compose(toml, **options))
        new.replace(self.config)
        self._addresses = {}  # the same text may be saved again, and its port be another one

    def reload(self, toml, **options):
        """Save, reload, wait until it is done: (status, answer). It stands still till it is asked, over a connection that it knows: its
        watcher would be first now and then, and leave nothing to do.
        """
        connection = UnixConnection(self.socket)
        connection.request("GET", "/livez")
        connection.getresponse().read()
        self.process.send_signal(signal.SIGSTOP)
        try:
            self.save(toml, **options)
            connection.request("POST", "/admin/v1/reload")
        finally:
            self.process.send_signal(signal.SIGCONT)
        return _answered(connection)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                for child in psutil.Process(self.process.pid).children(recursive=True):
                    child.kill()
                self.process.kill()
                self.process.wait(PATIENCE)

    def start(self):
        self.started_at = time.monotonic()
        self._addresses = {}
        with self.log.open("ab") as log, (self.directory / "out.txt").open("ab") as out:
            self.process = self._start(self._module, "--config", self.config, stdout=out, stderr=log, env=self._env)

    def admin(self, path, method="GET", **headers):
        """(status, parsed body) from the admin listener; ConnectionError while it is not up."""
        connection = UnixConnection(self.socket)
        try:
            connection.request(method, path, headers=headers)
        except OSError as error:
            connection.close()
            raise ConnectionError(str(error)) from error
        return _answered(connection)

    def until(self, condition, what):
        """Poll ``condition`` until it is true; the last resort where there is no event to wait for."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended with {self.process.returncode} before {what}:\n{self.log.read_text()[-3000:]}")
            try:
                if found := condition():
                    return found
            except ConnectionError:
                pass
            time.sleep(0.04)
        raise AssertionError(f"never happened: {what}\n{self.log.read_text()[-3000:]}")

    def wait_live(self):
        return self.until(lambda: self.admin("/livez")[0] == 200, "live")

    def wait_ready(self):
        return self.until(lambda: self.admin("/readyz")[0] == 200, "ready")

    def wait_disk(self, *models):
        """Until the caches on disk of these models are open: a worker is ready a little later at most, or serves without them meanwhile."""

        def are_open():
            users = [user for one in self.admin("/admin/v1/cache")[1]["directories"] for user in one["users"]]
            return {user["model"] for user in users if user["state"] == "on"} >= set(models)

        return self.until(are_open, f"the caches on disk of {models} are open")

    def model(self, name="tiny"):
        return self.admin(f"/admin/v1/models/{name}")[1]

    def address(self, role):
        """Of one listener. A file that is saved, and not reloaded, may move it at any time."""
        file = hashlib.sha256(self.config.read_bytes()).hexdigest()
        if file != self._file:  # somebody else has saved it
            self._file, self._addresses = file, {}
        if role not in self._addresses:
            status = self.admin("/admin/v1/status")[1]
            address = next(one["address"] for one in status["listeners"] if one["role"] == role)
            if status["config"]["sha256"] != file:
                return address
            self._addresses[role] = address
        return self._addresses[role]

    @property
    def url(self):
        """Of the inference listener."""
        return f"http://{self.address('inference')}"

    @property
    def metrics_address(self):
        """Where ``metrics.listen`` has it listen; as Prometheus calls it, an instance."""
        return self.address("metrics")

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    def events(self, name=None):
        """The log, parsed; only those called ``name`` if given."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if name is None or line["event"] == name]

    def metrics(self):
        """The exposition, as {'name{labels}': value}."""
        return {
            key: float(value)
            for key, value in (line.rsplit(" ", 1) for line in self.admin("/metrics")[1].splitlines() if line and not line.startswith("#"))
        }

    def stop(self):
        """TERM, and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def _answered(connection):
    """(status, parsed body)."""
    try:
        answer = connection.getresponse()
        body = answer.read()
    except OSError as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
    return answer.status, json.loads(body) if answer.getheader("content-type", "").startswith("application/json") else body.decode()
