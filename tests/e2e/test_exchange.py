"""Two models of which memory holds one, asked for by turns; all is real but the workers (``tests.support.fake_daemon``)."""

import os
import signal
import threading
import time

import pytest

from tests.e2e.client import post, send, stream
from tests.e2e.daemon_process import DaemonProcess

RESIDENCE = 0.4  # seconds


def toml(*names, patience="2m", residence=RESIDENCE, turn="1h"):
    models = "".join(f'[models.{name}]\nsource = "{{dir}}/{name}/needs-600"\n' for name in names or ("one", "two"))
    return f"""
[memory]
limit = "1000B"
patience = "{patience}"
[defaults.lifecycle]
load = "lazy"
residence = "{int(residence * 1000)}ms"
turn = "{turn}"
{models}"""


SERVER = 'sse_keepalive = "100ms"'


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    directory = tmp_path_factory.mktemp("exchange")
    for name in ("one", "two"):
        (directory / name / "needs-600").mkdir(parents=True)
    with DaemonProcess(directory, toml(), server=SERVER, module="tests.support.fake_daemon") as started:
        started.wait_live()
        yield started


@pytest.fixture
def daemon(shared):
    shared.reload(toml(), server=SERVER)
    return shared


def ask(daemon, model, prompt="hello"):
    return post(daemon, "/v1/completions", {"model": model, "prompt": prompt, "max_tokens": 4})


def exchange(daemon):
    return daemon.admin("/admin/v1/memory")[1]["exchange"]


def waiting(daemon):
    return [turn["model"] for turn in exchange(daemon)["turns"]]


def loads(daemon):
    return len(daemon.events("model_ready"))


def counter(daemon, name):
    return sum(value for key, value in daemon.metrics().items() if key.startswith(name))


class Hold:
    """A request that runs until it is let end."""

    def __init__(self, daemon, model):
        self._daemon, self._model = daemon, model
        self._connection = send(daemon, {"model": model, "prompt": "hold a"})
        daemon.until(lambda: daemon.model(model)["requests"]["running"] == 1, "it runs")

    def end(self):
        os.kill(self._daemon.model(self._model)["pid"], signal.SIGUSR1)
        assert self._connection.getresponse().status == 200
        self._connection.close()


def test_clients_that_alternate_are_all_answered_and_models_change_places_by_time_and_not_by_requests(daemon):
    answers, before, exchanges = [], loads(daemon), counter(daemon, "mlxd_model_exchanges_total")

    def client(model):
        for _ in range(20):
            answers.append(ask(daemon, model)[0])
            time.sleep(0.05)

    clients = [threading.Thread(target=client, args=(model,)) for model in ("one", "two")]
    began = time.monotonic()
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    most = (time.monotonic() - began) / RESIDENCE + 2
    assert answers == [200] * 40
    assert 2 <= loads(daemon) - before <= most
    assert loads(daemon) - before - 1 <= counter(daemon, "mlxd_model_exchanges_total") - exchanges <= most
    assert exchange(daemon) == {"turns": [], "closed": []}


def test_a_model_that_is_used_all_the_time_gives_way_when_its_turn_is_over(daemon):
    """Two requests overlap always, so that it is never idle."""
    daemon.reload(toml(turn="1s"), server=SERVER)
    stop, answers = threading.Event(), []

    def client():
        while not stop.is_set():
            answers.append(ask(daemon, "one", "hello " * 50)[0])

    assert ask(daemon, "one")[0] == 200
    clients = [threading.Thread(target=client) for _ in range(3)]
    for one in clients:
        one.start()
    status, _, _ = ask(daemon, "two")
    stop.set()
    for one in clients:
        one.join()
    assert status == 200
    assert set(answers) == {200}


def test_a_stream_that_waits_shows_signs_of_life_and_one_that_goes_away_loads_nothing(daemon):
    assert ask(daemon, "one")[0] == 200
    held, before = Hold(daemon, "one"), loads(daemon)
    with stream(daemon, {"model": "two", "prompt": "hello"}) as waits:
        assert waits.answer.readline().startswith(b": keep-alive")
        daemon.until(lambda: waiting(daemon) == ["two"], "it waits for its turn")
        [turn] = exchange(daemon)["turns"]
        assert (turn["requests"], turn["needs_bytes"]) == (1, 600)
        assert daemon.metrics()['mlxd_requests_awaiting_model{model="two"}'] == 1
        assert [one["stage"] for one in daemon.admin("/admin/v1/models/two/requests")[1]["requests"]] == ["loading"]
    daemon.until(lambda: (waiting(daemon), daemon.model("two")["pid"]) == ([], None), "nobody waits")
    held.end()
    assert ask(daemon, "one")[0] == 200
    assert loads(daemon) == before


def test_who_would_wait_for_too_long_is_told_when_to_come_again(daemon):
    daemon.reload(toml(patience="100ms"), server=SERVER)
    assert ask(daemon, "one")[0] == 200
    held = Hold(daemon, "one")
    status, headers, body = ask(daemon, "two")
    assert (status, body["error"]["code"]) == (503, "insufficient_memory")
    assert 3000 < int(headers["retry-after"]) <= 3700  # the turn that is left, what the request is likely to take, and a load
    held.end()


def test_whoever_waits_for_a_model_that_is_removed_is_told_so(daemon):
    assert ask(daemon, "one")[0] == 200
    held, answers = Hold(daemon, "one"), []
    client = threading.Thread(target=lambda: answers.append(ask(daemon, "two")))
    client.start()
    daemon.until(lambda: waiting(daemon) == ["two"], "it waits for its turn")
    daemon.reload(toml("one"), server=SERVER)
    client.join()
    [(status, _, body)] = answers
    assert (status, body["error"]["code"]) == (404, "model_not_found")
    held.end()
