"""Somebody who uses one model all the time, while a test does things to the daemon."""

import http.client
import json
import threading
from collections import Counter

from tests.e2e.daemon_process import PATIENCE

_PAUSE = 0.06  # seconds: it is to be there always, not to take the machine


class ConstantLoad:
    """``with ConstantLoad(daemon, body) as load``: one request soon after the other, each on a connection of its own.

    Where the port has moved, a connection that is refused, or reset in the instant the old socket closes, is tried again at the new one.
    Whatever else goes wrong is in ``failures``; ``served`` counts the answers and ``cached`` those whose prompt came from the cache.
    """

    def __init__(self, daemon, body, *, key="", clients=2, path="/v1/completions"):
        self.failures = []
        self.counts = Counter()
        self._daemon = daemon
        self._path = path
        self._body = json.dumps(body)
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._stopping = threading.Event()
        self._progress = threading.Condition()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_served(2 * len(self._threads))
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def wait_served(self, count):
        """Until so many more answers came, or something went wrong."""
        with self._progress:
            goal = self.counts["served"] + count
            assert self._progress.wait_for(lambda: self.counts["served"] >= goal or self.failures, PATIENCE)
        assert not self.failures, self.failures

    def _run(self):
        port = self._daemon.port
        while not self._stopping.wait(_PAUSE):
            try:
                self._ask(port)
            except (ConnectionRefusedError, ConnectionResetError) as error:
                before, port = port, self._daemon.port
                if port == before:
                    self._note(failure=repr(error))
                    return
            except Exception as error:  # noqa: BLE001 - whatever it is, the test is to know
                self._note(failure=repr(error))
                return

    def _ask(self, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request("POST", self._path, self._body, self._headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status == 200:
            self._note(cached=body["usage"].get("prompt_tokens_details", {}).get("cached_tokens", 0) > 0)
        else:
            self._note(failure=f"{answer.status} {body}")

    def _note(self, *, cached=False, failure=None):
        with self._progress:
            if failure:
                self.failures.append(failure)
            else:
                self.counts["served"] += 1
                self.counts["cached"] += cached
            self._progress.notify_all()
