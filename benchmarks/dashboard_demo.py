"""Three minutes in the life of a daemon, and the picture of them: ``grafana/dashboard.png``.

    python -m benchmarks.dashboard_demo --out grafana/dashboard.png

A real mlxd with the built-in model, a real Prometheus (its program has to be installed), chats that share a system prompt from one to
eight users, and what happens to a daemon: a model is added, clients make mistakes and go away, a worker is killed, somebody saves a
broken file and mends it. Both are on loopback, in a temporary directory that is deleted.
"""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp

from benchmarks.dashboard.load import Users, hurried, mistaken
from benchmarks.dashboard.prometheus import Prometheus, Window
from benchmarks.harness import machine
from benchmarks.harness.admin import Admin
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.process import ServerProcess, free_port
from benchmarks.render_dashboard import draw

SCRAPE_INTERVAL = 1  # seconds
RATE_INTERVAL = 15  # seconds
CONFIG = """
[server]
listen = "127.0.0.1:0"
[admin]
listen = "unix:{directory}/admin.sock"
[metrics]
listen = "127.0.0.1:{port}"
[defaults.batching]
mode = "continuous"
[defaults.cache]
memory = "80MiB"
[models.smollm2]
source = "builtin:smollm2-135m"
"""
ADDED = '[models.drafts]\nsource = "builtin:smollm2-135m"\n'
BROKEN = '[models.notes]\nsorce = "builtin:smollm2-135m"\n'


class Story:
    """What happens, and when."""

    def __init__(self, config: Path, daemon: ServerProcess, admin: Admin, users: Users) -> None:
        self._config, self._daemon, self._admin, self._users = config, daemon, admin, users
        self._text = config.read_text()

    async def tell(self, pace: float) -> None:
        """``pace`` 1: in three and a half minutes."""
        began = time.monotonic()
        for at, happening in self._scenes():
            await asyncio.sleep(max(0.0, began + pace * at - time.monotonic()))
            print(f"{time.monotonic() - began:4.0f} s  {happening.__name__.strip('_').replace('_', ' ')}", flush=True)
            await happening()

    def _scenes(self) -> list[tuple[float, Callable[[], Awaitable[None]]]]:
        return [
            (0, self._one_user),
            (25, self._four_users),
            (55, self._a_model_is_added),
            (75, self._mistakes),
            (85, self._eight_users),
            (125, self._a_worker_is_killed),
            (150, self._a_bad_file_is_saved),
            (165, self._it_is_mended),
            (175, self._three_users),
            (210, self._the_picture),
        ]

    async def _one_user(self) -> None:
        self._users.become(1)

    async def _four_users(self) -> None:
        self._users.become(4)

    async def _a_model_is_added(self) -> None:
        self._text += ADDED
        self._config.write_text(self._text)
        await self._daemon.until(self._is_there)
        self._users.models = ["smollm2", "smollm2", "drafts"]

    async def _is_there(self) -> bool:
        return any(one["id"] == "drafts" and one["state"] == "ready" for one in await self._admin.models())

    async def _mistakes(self) -> None:
        await asyncio.gather(mistaken(self._users.url), hurried(self._users.url))

    async def _eight_users(self) -> None:
        self._users.become(8)

    async def _a_worker_is_killed(self) -> None:
        os.kill((await self._admin.model("drafts"))["pid"], signal.SIGKILL)

    async def _a_bad_file_is_saved(self) -> None:
        self._config.write_text(self._text + BROKEN)

    async def _it_is_mended(self) -> None:
        self._config.write_text(self._text)

    async def _three_users(self) -> None:
        self._users.become(3)

    async def _the_picture(self) -> None:
        pass


@asynccontextmanager
async def prometheus(directory: Path, target: str) -> AsyncIterator[str]:
    """One that scrapes ``target`` every second: its address."""
    program = shutil.which("prometheus", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if program is None:
        raise BenchmarkError("prometheus is not installed: `make prometheus`")
    config = directory / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: {SCRAPE_INTERVAL}s}}\n"
        f"scrape_configs: [{{job_name: mlxd, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    url = f"http://127.0.0.1:{free_port()}"
    listen = f"--web.listen-address={url.removeprefix('http://')}"
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}", listen]
    with ServerProcess("prometheus", command, directory / "prometheus.log") as process:
        await process.until(lambda: _is_ready(f"{url}/-/ready"))
        yield url


async def _is_ready(url: str) -> bool:
    with suppress(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return answer.status == 200
    return False


async def show(directory: Path, out: Path, pace: float) -> None:
    """Starts everything, lets it happen, and draws ``out``."""
    port = free_port()
    config = directory / "mlxd.toml"
    config.write_text(CONFIG.format(directory=directory, port=port))
    command = [sys.executable, "-m", "mlxd", "--config", str(config)]
    with ServerProcess("mlxd", command, directory / "log") as daemon:
        async with Admin(directory / "admin.sock") as admin, prometheus(directory, f"127.0.0.1:{port}") as url:
            await daemon.until(admin.is_ready)
            began = time.time() + SCRAPE_INTERVAL
            async with Users(await admin.inference_url(), random.Random(1)) as users:  # noqa: S311 - the same story each time
                await Story(config, daemon, admin, users).tell(pace)
                note = f"{machine.one_line(machine.describe())}; builtin:smollm2-135m"
                window = Window.over(began, time.time() - SCRAPE_INTERVAL, RATE_INTERVAL)
                await asyncio.to_thread(draw, Prometheus(url, window), out, note)


def main() -> None:
    """Of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard_demo", description=__doc__.splitlines()[0])
    parser.add_argument("--out", metavar="FILE.png", type=Path, default=Path("grafana/dashboard.png"))
    parser.add_argument("--pace", type=float, default=1.0, help="2: twice as long (1)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlxd-demo-") as directory:
        asyncio.run(show(Path(directory), arguments.out, arguments.pace))
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
