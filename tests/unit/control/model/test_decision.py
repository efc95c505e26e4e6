"""What is done next, by what is wanted and what there is: every line is one situation."""

import pytest

from mlxd.config.schema import ModelTable
from mlxd.control.model.decision import GiveUpLoading, Leave, Observed, Start, Tell, Wait, decide
from mlxd.control.model.load_spec import load_spec, worker_spec
from mlxd.control.model.wish import Wish


def spec(source):
    return worker_spec(load_spec("tiny", ModelTable.model_validate({"source": source})))


NEW, OLD, OTHER = spec("org/new"), spec("org/old"), spec("org/other")


def seen(**there):
    return Observed(**{"configured": NEW} | there)


def barred(*specs):
    return frozenset(specs)


LOADED = [
    # nothing there
    (seen(), Start(NEW, probe=False, may_displace=True)),
    (seen(good=NEW), Start(NEW, probe=False, may_displace=True)),
    (seen(good=OLD), Start(NEW, probe=True, may_displace=True)),
    (seen(in_transition=True), Wait()),
    # one loads
    (seen(loading=NEW, in_transition=True), Wait()),
    (seen(loading=OTHER, in_transition=True), GiveUpLoading()),
    (seen(serving=OLD, loading=OTHER, in_transition=True), GiveUpLoading()),
    (seen(serving=OLD, loading=NEW, in_transition=True), Wait()),
    # one serves
    (seen(serving=NEW), Tell()),
    (seen(serving=NEW, good=NEW), Tell()),
    (seen(serving=NEW, is_stale=True), Start(NEW, probe=True, may_displace=True)),
    (seen(serving=OLD, good=OLD), Start(NEW, probe=True, may_displace=True)),
    # what the file says cannot be had now
    (seen(barred=barred(NEW)), Wait()),
    (seen(barred=barred(NEW), loading=NEW, in_transition=True), GiveUpLoading()),
    (seen(barred=barred(NEW), serving=OLD, good=OLD), Tell()),
    (seen(barred=barred(NEW), good=OLD), Start(OLD, probe=False, may_displace=True)),
    (seen(barred=barred(NEW), good=OLD, loading=OLD, in_transition=True), Wait()),
    (seen(barred=barred(NEW, OLD), good=OLD), Wait()),
    (seen(barred=barred(OLD), good=OLD), Start(NEW, probe=True, may_displace=True)),
    # it is to be tried again: whoever serves is not drained for that, and what was good comes back first
    (seen(due=barred(NEW)), Start(NEW, probe=False, may_displace=False)),
    (seen(due=barred(NEW), serving=OLD, good=OLD), Start(NEW, probe=True, may_displace=False)),
    (seen(due=barred(NEW), good=OLD, loading=OLD, in_transition=True), Wait()),
    (seen(due=barred(OLD), barred=barred(NEW), good=OLD), Start(OLD, probe=False, may_displace=False)),
]


@pytest.mark.parametrize("wish", [Wish.LOADED, Wish.LOADED_FOR_REQUEST])
@pytest.mark.parametrize(("observed", "decision"), LOADED)
def test_a_model_that_is_wanted(wish, observed, decision):
    assert decide(wish, observed) == decision


@pytest.mark.parametrize("wish", [Wish.UNLOADED, Wish.DRAINED])
@pytest.mark.parametrize("observed", [observed for observed, _ in LOADED])
def test_one_that_is_not_wanted_leaves_whatever_there_is(wish, observed):
    assert decide(wish, observed) == Leave()


@pytest.mark.parametrize("observed", [observed for observed, _ in LOADED])
def test_while_the_daemon_stops_nothing_begins_and_nothing_is_taken_away(observed):
    assert decide(Wish.FINISHING, observed) == Wait()
