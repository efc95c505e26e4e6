"""A package index on loopback with one wheel, which it can send in two halves."""

import base64
import contextlib
import hashlib
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mlxd.worker.fetch.builtin import BuiltinModel
from mlxd.worker.fetch.wheel import Wheel
from tests.support.patience import PATIENCE as WAIT


def make_builtin(directory: Path, gguf: bytes = b"GGUF" + bytes(range(256)) * 2048) -> tuple[BuiltinModel, Path]:
    """A wheel with ``gguf`` inside, in ``directory``, and its description."""
    path = directory / "tiny_gguf_wheel-1.0-py3-none-any.whl"
    info = "tiny_gguf_wheel-1.0.dist-info"
    files = {
        "tiny_gguf_wheel/tiny.gguf": gguf,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: tiny-gguf-wheel\nVersion: 1.0\nRequires-Dist: absent-dependency\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_record_hash(data)},{len(data)}\n" for name, data in files.items()) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (files | {f"{info}/RECORD": record.encode()}).items():
            archive.writestr(name, data)
    content = path.read_bytes()
    wheel = Wheel("tiny-gguf-wheel", "1.0", len(content), hashlib.sha256(content).hexdigest())
    return BuiltinModel("tiny", wheel, "tiny_gguf_wheel/tiny.gguf", len(gguf), hashlib.sha256(gguf).hexdigest()), path


def _record_hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@dataclass
class Index:
    """``half_sent``: the first half of the wheel is out; the rest follows after ``go_on``."""

    url: str
    half_sent: threading.Event
    go_on: threading.Event
    client_gone: threading.Event
    completed: list[str]  # names of files sent to their end

    @property
    def environment(self) -> dict[str, str]:
        """For a pip that knows this index and no other."""
        return {
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_INDEX_URL": self.url,
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_FIND_LINKS": "",
            "PIP_NO_INDEX": "",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_RETRIES": "0",
            "PIP_CERT": "",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }


class IndexServer(ThreadingHTTPServer):
    daemon_threads = True
    wheel: Path
    index: Index


class Handler(BaseHTTPRequestHandler):
    server: IndexServer

    def do_GET(self) -> None:
        wheel = self.server.wheel
        if self.path.endswith(wheel.name):
            self._send_in_halves(wheel.read_bytes())
        else:
            page = f'<a href="/files/{wheel.name}">{wheel.name}</a>'.encode()
            self._start("text/html", len(page))
            self.wfile.write(page)

    def _start(self, kind: str, length: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send_in_halves(self, body: bytes) -> None:
        index, half = self.server.index, len(body) // 2
        self._start("application/octet-stream", len(body))
        self.wfile.write(body[:half])
        index.half_sent.set()
        if not index.go_on.is_set():
            threading.Thread(target=self._watch_client, daemon=True).start()
        if not index.go_on.wait(WAIT):
            return
        try:
            self.wfile.write(body[half:])
        except OSError:  # the client went away between the halves
            return
        index.completed.append(self.server.wheel.name)

    def _watch_client(self) -> None:
        """The client says nothing more, so whatever can be read is the end."""
        with contextlib.suppress(OSError):
            self.connection.recv(1)
        if not self.server.index.go_on.is_set():
            self.server.index.client_gone.set()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def serve_index(wheel: Path) -> Iterator[Index]:
    """The index, until the block ends. It sends at once when ``go_on`` is set before."""
    server = IndexServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_address[1]}/simple"
    server.wheel, server.index = wheel, Index(url, threading.Event(), threading.Event(), threading.Event(), [])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.index
    finally:
        server.index.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
