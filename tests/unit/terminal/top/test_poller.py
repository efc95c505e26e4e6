"""Asking a daemon again and again, against a client that is made up."""

import queue

import pytest

from mlxd.errors import DaemonUnreachableError, ModelNotFoundError
from mlxd.terminal.top.history import Look
from mlxd.terminal.top.poller import Failure, Poller
from tests.support.patience import PATIENCE
from tests.unit.terminal.top.looks import PAGED, request, status_of

FOREVER = 1000.0  # seconds between two looks


class Client:
    """Answers from ``documents``, by path; an exception is raised."""

    def __init__(self):
        self.documents = {"/admin/v1/status": status_of(PAGED), "/admin/v1/models/smollm2/requests": {"requests": [request("a")]}}

    def get(self, path):
        found = self.documents.get(path, ModelNotFoundError(path))
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def told():
    return queue.Queue()


@pytest.fixture
def poll(client, told):
    started = []

    def start(interval):
        started.append(Poller(client, interval, told.put))
        started[-1].start()
        return started[-1]

    yield start
    for poller in started:
        poller.stop()


def test_requests_are_asked_for_once_a_model_is_followed(client, told):
    poller = Poller(client, FOREVER, told.put)
    assert poller.look().model is None
    poller.follow("smollm2")
    assert [one["id"] for one in poller.look().requests] == ["a"]


def test_a_model_that_has_gone_meanwhile_has_no_requests(client, told):
    poller = Poller(client, FOREVER, told.put)
    poller.follow("gone")
    assert (poller.look().model, poller.look().requests) == (None, ())


def test_another_choice_is_not_kept_waiting(poll, told):
    poller = poll(FOREVER)
    assert told.get(timeout=PATIENCE).model is None
    poller.follow("smollm2")
    assert told.get(timeout=PATIENCE).model == "smollm2"


def test_it_keeps_trying(poll, client, told):
    status = client.documents["/admin/v1/status"]
    client.documents["/admin/v1/status"] = DaemonUnreachableError("no daemon listens")
    poll(0.001)
    assert told.get(timeout=PATIENCE) == Failure("no daemon listens")
    client.documents["/admin/v1/status"] = status
    while not isinstance(told.get(timeout=PATIENCE), Look):
        continue


def test_a_defect_does_not_end_in_silence(poll, client, told):
    client.documents["/admin/v1/status"] = RuntimeError("a bug")
    poll(FOREVER)
    assert isinstance(told.get(timeout=PATIENCE).defect, RuntimeError)


def test_nothing_is_told_once_it_is_stopped(poll, told):
    poller = poll(FOREVER)
    told.get(timeout=PATIENCE)
    poller.stop()
    poller.follow("smollm2")
    with pytest.raises(queue.Empty):
        told.get(timeout=0.05)
