"""The door before a runner: large prompts wait while memory is short."""

from mlxd.errors import MemoryPressureError
from mlxd.types import Restraint, SamplingParams
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.admission import Admission
from mlxd.worker.engine.request import EngineRequest

ROOT = CacheRoot(model="m")


def request(name, tokens):
    return EngineRequest(name, EncodedPrompt([1] * tokens, 8, ROOT), SamplingParams())


def everything(one):
    return len(one.tokens)


def held(patience=30.0):
    admission = Admission()
    admission.hold_to(Restraint(largest_prompt=100, patience=patience))
    return admission


def test_as_a_rule_everybody_goes_on():
    admission = Admission()
    assert admission.admits(request("a", 10_000), everything, 0)
    assert admission.due_in(0) is None


def test_small_ones_go_on_and_large_ones_wait():
    admission = held()
    assert admission.admits(request("small", 100), everything, 5)
    assert not admission.admits(request("large", 101), everything, 5)
    assert admission.due_in(15) == 20


def test_what_is_cached_does_not_count():
    assert held().admits(request("large", 500), lambda _: 100, 0)


def test_those_that_wait_go_on_in_their_order_when_it_is_over():
    admission = held()
    first, second = request("first", 200), request("second", 300)
    assert not admission.admits(first, everything, 0)
    assert not admission.admits(second, everything, 1)
    assert admission.released() == []
    admission.hold_to(Restraint())
    assert admission.released() == [first, second]
    assert admission.released() == []


def test_who_has_waited_for_too_long_is_refused_with_a_reason():
    admission = held()
    admission.admits(request("a", 200), everything, 0)
    assert admission.expired(29.9) == {}
    (refused,) = admission.expired(30).values()
    assert isinstance(refused, MemoryPressureError)
    assert (refused.status, refused.code, refused.retry_after) == (507, "memory_pressure", 30.0)
    assert "100 tokens" in refused.message
    assert "200" in refused.message
    assert admission.due_in(30) is None


def test_where_it_becomes_critical_nobody_waits_any_more():
    admission = held()
    admission.admits(request("a", 200), everything, 0)
    admission.hold_to(Restraint(largest_prompt=100))
    assert admission.due_in(1) == 0
    assert list(admission.expired(1)) == ["a"]


def test_clients_that_go_away_are_forgotten():
    admission = held()
    gone = request("a", 200)
    admission.admits(gone, everything, 0)
    gone.aborted = True
    assert admission.forget_aborted() == [gone]
    admission.hold_to(Restraint())
    assert admission.released() == []
