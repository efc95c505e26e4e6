"""Makes docs/status-watch.svg: what ``mlxd status --watch`` shows while a reload replaces one model and adds another.

It is the answer of a real daemon with the built-in model; only paths and ports are those of an ordinary installation. Run it from the root:
``.venv/bin/python docs/status_watch.py``.
"""

import io
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import MONOKAI

from mlxd.config.address import parse_address
from mlxd.errors import DaemonUnreachableError
from mlxd.terminal.admin_client import AdminClient
from mlxd.terminal.status_table import render_status

PICTURE = Path(__file__).with_name("status-watch.svg")
WIDTH = 100
CONFIG = """
[server]
listen = "127.0.0.1:0"

[admin]
listen = "unix:{directory}/admin.sock"

[defaults.batching]
mode = "continuous"

[defaults.cache]
memory = "512MiB"

[models.smollm2]
source = "builtin:smollm2-135m"
aliases = ["default"]

[models.drafts]
source = "builtin:smollm2-135m"
batching.mode = "{mode}"
"""
ADDED = """
[models.notes]
source = "builtin:smollm2-135m"
"""

Status = dict[str, Any]


def main() -> None:
    """Start, ask, edit, look."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "mlxd.toml"
        config.write_text(CONFIG.format(directory=directory, mode="continuous"))
        client = AdminClient(parse_address(f"unix:{directory}/admin.sock"))
        with daemon(config):
            status = wait(client, lambda status: states(status) == ["ready", "ready"])
            inference = next(one["address"] for one in status["listeners"] if one["role"] == "inference")
            for _ in range(2):
                ask(inference)
            config.write_text(CONFIG.format(directory=directory, mode="simple") + ADDED)
            draw(wait(client, is_telling))


@contextmanager
def daemon(config: Path) -> Iterator[None]:
    """One that serves ``config``, until the block ends."""
    with subprocess.Popen(
        [sys.executable, "-m", "mlxd", "--config", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        try:
            yield
        finally:
            child.terminate()


def wait(client: AdminClient, good: Callable[[Status], bool]) -> Status:
    """The first status that is ``good``."""
    for _ in range(600):
        try:
            status = client.get("/admin/v1/status")
        except DaemonUnreachableError:
            status = None
        if status is not None and good(status):
            return status
        time.sleep(0.1)
    raise SystemExit("the daemon did not become what was waited for")


def states(status: Status) -> list[str]:
    """Of the models, in order."""
    return [model["state"] for model in status["models"]]


def is_telling(status: Status) -> bool:
    """One model is replaced while it serves, and another is new."""
    if states(status) != ["ready", "ready", "loading"] or not status["models"][1]["replacing"]:
        return False
    return "warming" in [(model["progress"] or {}).get("stage") for model in status["models"]]


def ask(address: str) -> None:
    """One chat completion, long enough that its prompt is found in the cache the next time."""
    body = {"model": "smollm2", "max_tokens": 8, "messages": [{"role": "user", "content": "Say something about the sea. " * 8}]}
    request = urllib.request.Request(
        f"http://{address}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own daemon
        answer.read()


def draw(status: Status) -> None:
    """As a terminal of ``WIDTH`` columns has it, without fonts from elsewhere."""
    status["config"]["path"] = "~/mlxd.toml"
    for listener in status["listeners"]:
        listener["address"] = {"admin": "unix:~/.mlxd/admin.sock", "inference": "127.0.0.1:8000"}[listener["role"]]
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(render_status(status), "")
    svg = console.export_svg(title="mlxd status --watch", theme=MONOKAI, unique_id="status")
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)  # or some viewers drop the spaces that begin a column
    PICTURE.write_text(re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL))


if __name__ == "__main__":
    main()
