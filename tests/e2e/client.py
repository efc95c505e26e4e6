"""Raw HTTP against a daemon, where an SDK would hide what is tested."""

import http.client
import json
from contextlib import contextmanager

from tests.e2e.daemon_process import PATIENCE


def post(daemon, path, body, **headers):
    """(status, headers, parsed body)."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
    try:
        text = body if isinstance(body, bytes) else json.dumps(body)
        connection.request("POST", path, text, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, json.loads(answer.read())
    finally:
        connection.close()


def send(daemon, body):
    """A request whose answer nobody will read; the open connection."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    return connection


@contextmanager
def stream(daemon, body, path="/v1/completions", headers=None):
    """An open stream; iterate it for the data of its events. Leaving it closes the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=PATIENCE)
    try:
        connection.request("POST", path, json.dumps(body | {"stream": True}), {"Content-Type": "application/json"} | (headers or {}))
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        yield Stream(answer)
    finally:
        connection.close()


class Stream:
    def __init__(self, answer):
        self.answer = answer

    def __iter__(self):
        for line in self.answer:
            if line.startswith(b"data: "):
                yield line.removeprefix(b"data: ").strip().decode()

    def first(self):
        return next(iter(self))
