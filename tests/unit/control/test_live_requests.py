"""The requests there are: looked at in the order they came, cancelled one by one."""

import pytest

from mlxd.control.live_requests import LiveRequest, LiveRequests, Stage
from mlxd.errors import NotFoundError, RequestCancelledError


def request(identity, model="tiny"):
    stopped = []
    made = LiveRequest(
        id=identity, request_id="the client's", endpoint="completions", model=model, streamed=False, stop=stopped.append
    )  # fmt: skip
    return made, stopped


def test_a_request_is_there_as_long_as_its_block():
    requests, (one, _), (other, _) = LiveRequests(), request("a"), request("b")
    with requests.track(one) as tracked:
        assert tracked is one
        assert (one.stage, one.usage()) == (Stage.LOADING, None)
        with requests.track(other):
            assert requests.of("tiny") == [one, other]
        assert requests.of("tiny") == [one]
    assert requests.of("tiny") == []


def test_a_request_that_fails_is_gone_too():
    requests, (one, _) = LiveRequests(), request("a")
    with pytest.raises(ZeroDivisionError), requests.track(one):
        raise ZeroDivisionError
    assert requests.of("tiny") == []


def test_they_are_listed_by_model():
    requests, (one, _), (other, _) = LiveRequests(), request("a"), request("b", "other")
    with requests.track(one), requests.track(other):
        assert requests.of("tiny") == [one]
        assert requests.of("other") == [other]
        assert requests.of("nobody") == []


def test_one_is_cancelled_with_a_reason_and_the_others_go_on():
    requests, (one, one_stopped), (other, other_stopped) = LiveRequests(), request("a"), request("b")
    with requests.track(one), requests.track(other):
        assert requests.cancel("tiny", "b") is other
        [error] = other_stopped
        assert isinstance(error, RequestCancelledError)
        assert one_stopped == []
        assert requests.of("tiny") == [one, other]  # until its handler has ended


@pytest.mark.parametrize(("model", "identity"), [("tiny", "z"), ("other", "a"), ("tiny", "")])
def test_what_is_not_there_cannot_be_cancelled(model, identity):
    requests, (one, stopped) = LiveRequests(), request("a")
    with requests.track(one), pytest.raises(NotFoundError, match=f'the model "{model}" has no request "{identity}" now'):
        requests.cancel(model, identity)
    assert stopped == []


def test_what_is_over_cannot_be_cancelled():
    requests, (one, stopped) = LiveRequests(), request("a")
    with requests.track(one):
        pass
    with pytest.raises(NotFoundError):
        requests.cancel("tiny", "a")
    assert stopped == []
