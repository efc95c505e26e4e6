"""The shipped configurations of reverse proxies, in real ones before a real daemon: streams, cancellation, sizes, names, browsers."""

import http.client
import json
import os
import signal
import ssl
from contextlib import closing, contextmanager
from dataclasses import dataclass

import openai
import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.support.certificates import Authority
from tests.support.patience import PATIENCE
from tests.support.reverse_proxies import caddy, nginx

KEY = "the-key"
SERVER = f'api_keys = ["{KEY}"]\nallowed_hosts = ["mlx.example"]\ncors_origins = ["https://chat.example"]'
MODEL = '[models.tiny]\nsource = "{dir}/ok"\n'
HELD = {"model": "tiny", "prompt": "hold on to this stream", "stream": True}


@pytest.fixture(scope="module")
def authority():
    return Authority()


@contextmanager
def serving(directory, listen):
    (directory / "ok").mkdir()
    daemon = DaemonProcess(directory, MODEL, server=SERVER, module="tests.support.fake_daemon")
    daemon.save(MODEL, server=SERVER, listen=listen)
    with daemon:
        daemon.wait_ready()
        yield daemon


@pytest.fixture(scope="module")
def over_tcp(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("tcp"), "127.0.0.1:0") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def over_unix(tmp_path_factory):
    directory = tmp_path_factory.mktemp("unix")
    with serving(directory, f"unix:{directory}/i.sock") as daemon:
        yield daemon


@dataclass
class Front:
    """A proxy, and the daemon behind it."""

    daemon: DaemonProcess
    port: int
    plain: int | None
    trust: ssl.SSLContext

    @contextmanager
    def sdk(self):
        client = openai.DefaultHttpxClient(verify=self.trust)
        with openai.OpenAI(base_url=f"https://localhost:{self.port}/v1", api_key=KEY, http_client=client, max_retries=0) as made:
            yield made

    def ask(self, method, path, body=None, **headers):
        """(status, headers, body), as one who asks for the proxy's own name."""
        with closing(http.client.HTTPSConnection("localhost", self.port, timeout=PATIENCE, context=self.trust)) as connection:
            sent = {"Host": "mlx.example", "Authorization": f"Bearer {KEY}"} | {
                name.replace("_", "-"): value for name, value in headers.items()
            }
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()


FRONTS = {f"{proxy.__name__}_{upstream}": (proxy, upstream) for proxy in (nginx, caddy) for upstream in ("over_tcp", "over_unix")}


@pytest.fixture(scope="module", params=FRONTS)
def front(request, authority, tmp_path_factory):
    proxy, name = FRONTS[request.param]
    daemon, directory = request.getfixturevalue(name), tmp_path_factory.mktemp("proxy")
    pair = authority.issue(directory, "localhost", "mlx.example")
    with proxy(directory, daemon.address("inference"), pair) as (port, plain):
        yield Front(daemon, port, plain, authority.client())


def next_word(front, stream):
    os.kill(front.daemon.model()["pid"], signal.SIGUSR1)
    return next(stream).choices[0].text.strip()


def test_each_event_arrives_when_it_is_written(front):
    with front.sdk() as client:
        stream = iter(client.completions.create(**HELD))
        assert [next_word(front, stream) for _ in range(4)] == [
            "on",
            "to",
            "this",
            "stream",
        ]  # the next is not said before this one is heard
        list(stream)


def test_a_client_that_leaves_is_noticed(front):
    with front.sdk() as client:
        stream = client.completions.create(**HELD)
        next_word(front, iter(stream))
        assert front.daemon.model()["requests"]["running"] == 1
        stream.close()
        front.daemon.until(lambda: front.daemon.model()["requests"]["running"] == 0, "the request is cancelled")


def test_bodies_of_the_size_that_mlxd_takes(front):
    body = json.dumps({"model": "tiny", "prompt": "words", "max_tokens": 1, "user": "x" * 20 * 2**20}).encode()
    assert front.ask("POST", "/v1/completions", body, Content_Type="application/json")[0] == 200
    larger = {"Content_Type": "application/json", "Content_Length": str(34 * 2**20), "Expect": "100-continue"}  # who asks before it sends
    assert front.ask("POST", "/v1/completions", None, **larger)[0] == 413


def test_names_ids_and_refusals_pass(front):
    status, headers, _ = front.ask("GET", "/v1/models")
    assert status == 200
    assert len(headers.get_all("x-request-id")) == 1
    status, _, body = front.ask("GET", "/v1/models", Authorization="Bearer wrong")
    assert (status, json.loads(body)["error"]["code"]) == (401, "invalid_api_key")
    assert front.ask("GET", "/v1/models/tiny%2Fnone")[0] == 404
    assert front.ask("GET", "/health", Authorization="")[0] == 200


def test_a_browser_is_answered_once(front):
    asked = {"Origin": "https://chat.example", "Access_Control_Request_Method": "POST", "Access_Control_Request_Headers": "authorization"}
    status, headers, _ = front.ask("OPTIONS", "/v1/chat/completions", Authorization="", **asked)
    assert (status, headers.get_all("access-control-allow-origin")) == (204, ["https://chat.example"])
    status, headers, _ = front.ask("GET", "/v1/models", Origin="https://chat.example")
    assert (status, headers.get_all("access-control-allow-origin")) == (200, ["https://chat.example"])


@pytest.mark.parametrize("front", ["nginx_over_tcp"], indirect=True)  # Caddy does so by itself
def test_plain_http_is_sent_on(front):
    with closing(http.client.HTTPConnection("127.0.0.1", front.plain, timeout=PATIENCE)) as connection:
        connection.request("POST", "/v1/completions", b"{}", {"Host": "mlx.example"})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["location"]) == (308, "https://mlx.example/v1/completions")
