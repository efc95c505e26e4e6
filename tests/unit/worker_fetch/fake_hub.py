"""A model hub on loopback: one repository per directory, one revision each; it remembers what was asked."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

BRANCH = "main"


@dataclass
class Hub:
    url: str
    repositories: dict[str, Path]
    refusals: dict[str, tuple[int, str]]  # repository -> status and the hub's error code
    requests: list[str] = field(default_factory=list)

    def commit(self, name: str) -> str:
        """Of the present files."""
        files = sorted(path for path in self.repositories[name].rglob("*") if path.is_file())
        return hashlib.sha1(b"".join(path.name.encode() + path.read_bytes() for path in files), usedforsecurity=False).hexdigest()


class HubServer(ThreadingHTTPServer):
    daemon_threads = True
    hub: Hub


class Handler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.hub.requests.append(path)
        parts = path.removeprefix("/api/models").strip("/").split("/")
        name = "/".join(parts[:2])
        if name in self.server.hub.refusals:
            self._refuse(*self.server.hub.refusals[name])
        elif name not in self.server.hub.repositories:
            self._refuse(404, "RepoNotFound")
        else:
            self._serve(name, parts[2:])

    def _serve(self, name: str, rest: list[str]) -> None:
        directory, commit = self.server.hub.repositories[name], self.server.hub.commit(name)
        match rest:
            case [] | ["revision", *_] if rest[1:] in ([], [BRANCH], [commit]):
                self._send_json(
                    {"_id": "1", "id": name, "sha": commit, "siblings": [{"rfilename": path.name} for path in directory.iterdir()]}
                )
            case ["tree", _]:
                self._send_json([_entry(path) for path in directory.iterdir()])
            case ["resolve", _, file] if (directory / file).is_file():
                self._send((directory / file).read_bytes(), {"ETag": f'"{_oid(directory / file)}"', "X-Repo-Commit": commit})
            case ["resolve", *_]:
                self._refuse(404, "EntryNotFound")
            case _:
                self._refuse(404, "RevisionNotFound")

    def _refuse(self, status: int, code: str) -> None:
        self._send(b"{}", {"X-Error-Code": code, "X-Error-Message": "refused by the test"}, status)

    def _send_json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, body: bytes, headers: dict[str, str], status: int = 200) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def _oid(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


def _entry(path: Path) -> dict[str, object]:
    return {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": _oid(path)}


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """The hub, without repositories, until the block ends."""
    server = HubServer(("127.0.0.1", 0), Handler)
    server.hub = Hub(f"http://127.0.0.1:{server.server_address[1]}", {}, {})
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
