"""The daemon that is measured. It outlives the piece that has started it, until somebody ends it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.harness.admin import Admin
from benchmarks.harness.errors import BenchmarkError
from mlxd.footprint import footprint

STEADY, RENEWED = "steady", "renewed"
_RENEW_EVERY = 3  # reloads
_START = 300.0  # seconds


class Subject:
    """A daemon in ``directory`` with two models of one source."""

    def __init__(self, directory: Path, model: str) -> None:
        self._directory = directory
        self._model = model
        self._pid_file = directory / "pid"
        self._config = directory / "mlxd.toml"
        self._socket = directory / "admin.sock"
        self.url = ""

    async def start(self) -> None:
        """Starts the daemon where none runs, and waits until its models are ready. Raises ``BenchmarkError``."""
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._pid() is None:
            self.write(0)
            self._launch()
        deadline = time.monotonic() + _START
        async with Admin(self._socket) as admin:
            while not await admin.is_ready():
                if time.monotonic() > deadline or self._pid() is None:
                    raise BenchmarkError(f"the daemon is not ready: see {self._directory / 'log'}")
                await asyncio.sleep(0.2)
            self.url = await admin.inference_url()

    def _launch(self) -> None:
        command = [sys.executable, "-P", "-m", "mlxd", "--config", str(self._config)]
        with (self._directory / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self._pid_file.write_text(str(process.pid))

    def write(self, number: int) -> None:
        """Writes the configuration for the reload of this number; the daemon watches the file."""
        limits = {STEADY: f"stream_interval = {1 + number % 2}", RENEWED: f"max_sequences = {16 + number % 2}"}
        lines = ['[server]\nlisten = "127.0.0.1:0"\n[admin]', f"listen = {json.dumps(f'unix:{self._socket}')}", '[log]\nlevel = "warning"']
        for name, changed in limits.items():
            lines += [
                f"[models.{name}]",
                f"source = {json.dumps(self._model)}",
                f"[models.{name}.batching]",
                'mode = "continuous"',
                changed,
            ]
            lines += [f"[models.{name}.cache]", 'memory = "64MiB"', f"block_size = {self._block_size(name, number)}"]
        new = self._config.with_suffix(".new")
        new.write_text("\n".join(lines) + "\n")
        new.replace(self._config)

    def _block_size(self, name: str, number: int) -> int:
        """Returns what only a new worker can change, for the model that is to get one."""
        return 16 if name == STEADY or number // _RENEW_EVERY % 2 == 0 else 32

    async def footprints(self) -> dict[str, int]:
        """Returns the bytes of each process, by its name; none for a model that has no worker now."""
        async with Admin(self._socket) as admin:
            pids = {model["id"]: model["pid"] for model in await admin.models() if model["state"] == "ready" and not model["replacing"]}
        pids["daemon"] = self._pid()
        return {name: size for name, pid in sorted(pids.items()) if pid is not None and (size := footprint(pid))}

    def stop(self) -> None:
        """Ends the daemon, if it runs."""
        pid = self._pid()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            while self._pid() is not None:
                time.sleep(0.1)
        self._pid_file.unlink(missing_ok=True)

    def _pid(self) -> int | None:
        """Returns the daemon's process while it runs: one that has ended takes no memory."""
        if not self._pid_file.exists():
            return None
        pid = int(self._pid_file.read_text())
        return pid if footprint(pid) else None
