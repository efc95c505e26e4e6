"""Makes the pictures of docs/cli.md: status-watch.svg, what ``mlxd status --watch`` shows while a reload replaces one model and adds
another, and top.svg, what ``mlxd top`` shows under load.

They are the answers of a real daemon with the built-in model; only paths and ports are those of an ordinary installation. Run it from the
root: ``.venv/bin/python docs/pictures.py``, or with the names of the pictures to make.
"""

import io
import json
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.terminal_theme import MONOKAI

from mlxd.config.address import parse_address
from mlxd.errors import DaemonUnreachableError
from mlxd.terminal.admin_client import AdminClient
from mlxd.terminal.status_table import render_status
from mlxd.terminal.top.poller import Poller
from mlxd.terminal.top.screen import Screen
from mlxd.terminal.top.session import Session

WIDTH = 100
TOP_HEIGHT = 33
TOP_SECONDS = 75  # of load, so that the curves are full
CONFIG = """
[server]
listen = "127.0.0.1:0"

[admin]
listen = "unix:{directory}/admin.sock"

[defaults.batching]
mode = "continuous"

[defaults.cache]
memory = "{cache}"

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
SYSTEM = "You are a helpful assistant who knows the sea, its ships and its harbours. " * 12
QUESTIONS = ("Say something about the sea.", "Tell me of a ship.", "Which harbours are there?", "What does a captain do?")

Status = dict[str, Any]


def main() -> None:
    """All pictures, or those that are named."""
    pictures = {"status-watch": status_watch, "top": top}
    for name in sys.argv[1:] or pictures:
        pictures[name]()


def status_watch() -> None:
    """Start, ask, edit, look."""
    with daemon(cache="512MiB", mode="continuous") as running:
        for _ in range(2):
            ask(running.inference, "smollm2", "Say something about the sea. " * 8, max_tokens=8)
        running.config.write_text(CONFIG.format(directory=running.config.parent, cache="512MiB", mode="simple") + ADDED)
        status = wait(running.client, is_telling)
    status["config"]["path"] = "~/mlxd.toml"
    for listener in status["listeners"]:
        listener["address"] = {"admin": "unix:~/.mlxd/admin.sock", "inference": "127.0.0.1:8000"}[listener["role"]]
    console = recorder()
    console.print(render_status(status), "")
    save(console, "status-watch", "mlxd status --watch")


def top() -> None:
    """Clients that ask again and again, and a person who watches."""
    with daemon(cache="96MiB", mode="simple") as running:
        ended = threading.Event()
        clients = [threading.Thread(target=converse, args=(running.inference, index, ended)) for index in range(8)]
        poller = Poller(running.client, 1.0, lambda _: None)
        session = Session(poller.look(), 1.0)
        poller.follow(session.chosen)
        for second in range(TOP_SECONDS):
            if second % 4 == 0 and clients:
                clients.pop(0).start()
            time.sleep(1)
            session.take(iter([poller.look()]))
        ended.set()
    console = recorder(height=TOP_HEIGHT)
    console.print(Screen(session.frame))
    save(console, "top", "mlxd top")


@dataclass(frozen=True)
class Running:
    """A daemon whose models are ready."""

    config: Path
    client: AdminClient
    inference: str  # its address


@contextmanager
def daemon(*, cache: str, mode: str) -> Iterator[Running]:
    """One with two models, until the block ends."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "mlxd.toml"
        config.write_text(CONFIG.format(directory=directory, cache=cache, mode=mode))
        client = AdminClient(parse_address(f"unix:{directory}/admin.sock"))
        command = [sys.executable, "-m", "mlxd", "--config", config]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            try:
                status = wait(client, lambda status: states(status) == ["ready", "ready"])
                yield Running(config, client, next(one["address"] for one in status["listeners"] if one["role"] == "inference"))
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


def converse(address: str, number: int, ended: threading.Event) -> None:
    """One client: a question, a pause, another question."""
    choices = random.Random(number)  # noqa: S311 - the same load each time
    model = "drafts" if number % 4 == 3 else "smollm2"
    while not ended.is_set():
        prompt = choices.choice(QUESTIONS) * choices.choice((1, 3, 12))
        try:
            ask(address, model, prompt, system=SYSTEM, max_tokens=choices.choice((30, 60, 120)))
        except OSError:  # the daemon has ended first
            return
        ended.wait(choices.uniform(0, 3))


def ask(address: str, model: str, prompt: str, *, system: str = "", max_tokens: int) -> None:
    messages = [{"role": "system", "content": system}] * bool(system) + [{"role": "user", "content": prompt}]
    body = json.dumps({"model": model, "max_tokens": max_tokens, "messages": messages}).encode()
    request = urllib.request.Request(f"http://{address}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own daemon
        answer.read()


def recorder(height: int = 25) -> Console:
    """A terminal of ``WIDTH`` columns."""
    size = {"width": WIDTH, "height": height}
    return Console(**size, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False)


def save(console: Console, name: str, title: str) -> None:
    """Without fonts from elsewhere."""
    svg = console.export_svg(title=title, theme=MONOKAI, unique_id=name)
    svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)  # or some viewers drop the spaces that begin a column
    Path(__file__).with_name(f"{name}.svg").write_text(re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL))


if __name__ == "__main__":
    main()
