"""What a reload would do to each model and each listener."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.config.address import parse_address
from mlxd.config.catalogue import field_at
from mlxd.config.fields import Reload, reload_class
from mlxd.config.schema import Config
from mlxd.control.planner import Action, ListenerPlan, Room, listen_addresses, plan
from tests.support.configurations import load, pairs
from tests.support.examples import examples

# A pair of configurations takes tens of milliseconds to draw: all that holds of one is looked at at once.
FEWER = settings(max_examples=examples(24))

MODEL = {"source": "org/name"}
PLENTY = Room(limit=2**40, reserved={})


def document(**tables):
    return {"models": {"m": MODEL}} | tables


def model(**fields):
    return document(models={"m": MODEL | fields})


def planned(before, after, room=PLENTY):
    return plan(load(before), load(after), room)


def action(after, room=PLENTY, before=None):
    """What happens to the only model."""
    [found] = planned(before or document(), after, room).models
    return found.action


# ---- models ----


def test_a_file_that_says_the_same_is_an_empty_plan():
    assert planned(document(), document(log={"level": "info"})).is_empty


@pytest.mark.parametrize(
    "fields",
    [
        {"aliases": ["default"]},
        {"batching": {"max_sequences": 4}},
        {"batching": {"step_tokens": 512}},
        {"cache": {"memory": "1GiB"}},
        {"lifecycle": {"load": "lazy"}},
        {"sampling": {"temperature": 0.5}},
        {"worker": {"hang_timeout": "90s"}},
    ],
)
def test_what_a_running_worker_can_take_is_live(fields):
    assert action(model(**fields)) is Action.LIVE


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "org/name@main"},
        {"batching": {"mode": "continuous"}},
        {"cache": {"kind": "none"}},
        {"cache": {"block_size": 32}},
        {"dtype": "float32"},
        {"context_length": 4096},
        {"source": "org/other", "aliases": ["default"]},
    ],
)
def test_what_it_cannot_take_needs_another_worker(fields):
    assert action(model(**fields)) is Action.REPLACE


@pytest.mark.parametrize(
    ("limit", "reserved", "expected"),
    [
        (1000, {"m": 500}, Action.REPLACE),
        (1000, {"m": 501}, Action.DRAIN_AND_REPLACE),
        (1000, {"m": 400, "other": 200}, Action.REPLACE),
        (1000, {"m": 400, "other": 201}, Action.DRAIN_AND_REPLACE),
        (1000, {"other": 1000}, Action.REPLACE),  # it is not loaded: nothing has to drain
        (100, {"m": 500}, Action.DRAIN_AND_REPLACE),  # the limit was lowered below what is reserved
    ],
)
def test_the_old_worker_drains_first_where_there_is_no_room_for_both(limit, reserved, expected):
    assert action(model(dtype="float32"), Room(limit, reserved)) is expected


@pytest.mark.parametrize(("load_when", "expected"), [("eager", Action.LOAD), ("lazy", Action.ADD)])
def test_a_new_model_loads_now_or_at_its_first_request(load_when, expected):
    after = {"models": {"m": MODEL, "new": MODEL | {"lifecycle": {"load": load_when}}}}
    assert action(after) is expected


def test_a_model_that_is_gone_from_the_file_is_unloaded():
    assert action({"models": {"m": MODEL}}, before={"models": {"m": MODEL, "old": MODEL}}) is Action.UNLOAD


def test_a_model_under_another_name_is_another_model():
    found = planned({"models": {"old": MODEL}}, {"models": {"new": MODEL}})
    assert [(one.name, one.action) for one in found.models] == [("new", Action.LOAD), ("old", Action.UNLOAD)]


def test_a_default_touches_the_models_that_inherit_it_and_no_other():
    two = {"models": {"inherits": MODEL, "overrides": MODEL | {"batching": {"mode": "simple"}}}}
    found = planned(two, {"defaults": {"batching": {"mode": "continuous"}}} | two)
    assert [(one.name, one.action) for one in found.models] == [("inherits", Action.REPLACE)]


def test_an_alias_that_moves_is_live_for_both():
    before = {"models": {"a": MODEL | {"aliases": ["default"]}, "b": MODEL}}
    after = {"models": {"a": MODEL, "b": MODEL | {"aliases": ["default"]}}}
    assert [(one.name, one.action) for one in planned(before, after).models] == [("a", Action.LIVE), ("b", Action.LIVE)]


# ---- listeners ----

A, B, UNIX = "127.0.0.1:7001", "127.0.0.1:7002", "unix:/run/mlxd/a.sock"


def moves(before, after):
    return planned(before, after).listeners


def parsed(*texts):
    return tuple(map(parse_address, texts))


def test_a_listener_that_moves_opens_the_new_address_and_closes_the_old():
    found = moves(document(server={"listen": A}), document(server={"listen": B}))
    assert found == (ListenerPlan("inference", opened=parsed(B), closed=parsed(A)),)


def test_an_address_that_stays_is_left_alone():
    found = moves(document(server={"listen": [A, UNIX]}), document(server={"listen": [UNIX, B]}))
    assert found == (ListenerPlan("inference", opened=parsed(B), closed=parsed(A)),)
    assert moves(document(server={"listen": [A, B]}), document(server={"listen": [B, A]})) == ()


def test_two_listeners_that_change_places():
    found = moves(document(server={"listen": A}, admin={"listen": B}), document(server={"listen": B}, admin={"listen": A}))
    assert found == (ListenerPlan("inference", parsed(B), parsed(A)), ListenerPlan("admin", parsed(A), parsed(B)))


def test_metrics_have_a_listener_only_where_they_are_served_and_have_an_address():
    on, off = document(metrics={"listen": A}), document(metrics={"listen": A, "enabled": False})
    assert moves(document(), on) == (ListenerPlan("metrics", parsed(A), ()),)
    assert moves(on, document()) == moves(on, off) == (ListenerPlan("metrics", (), parsed(A)),)
    assert moves(off, on) == (ListenerPlan("metrics", parsed(A), ()),)
    assert moves(off, document(metrics={"listen": B, "enabled": False})) == ()


# ---- outside models ----


def test_the_rest_is_live():
    found = planned(document(), document(log={"level": "debug"}, memory={"limit": "1GiB"}, server={"api_keys": ["sesame"]}))
    assert [change.name for change in found.live] == ["server.api_keys", "log.level", "memory.limit"]
    assert (found.models, found.listeners, found.refused) == ((), (), ())


@pytest.mark.parametrize(("after", "name"), [(document(log={"level": "debug"}), "log.level"), (model(dtype="float32"), "models.m.dtype")])
def test_what_needs_a_restart_is_refused_wherever_it_stands(after, name, monkeypatch):
    monkeypatch.setattr("mlxd.config.diff.reload_class", lambda _: Reload.DAEMON)  # no field is of this class at present
    found = planned(document(), after)
    assert [change.name for change in found.refused] == [name]
    assert not found.is_empty


# ---- properties ----

_RESERVED = st.dictionaries(st.sampled_from(["qwen3", "llama", "a:b", "org/name.v1", "mine", "other"]), st.integers(1, 100))
_CHANGES_SHOWN = (Action.LIVE, Action.REPLACE, Action.DRAIN_AND_REPLACE)
rooms = st.builds(Room, st.integers(1, 400), _RESERVED)


def leaves(table, at):
    for name, value in table.items():
        if isinstance(value, dict):
            yield from leaves(value, (*at, name))
        else:
            yield (*at, name), value


def classes(before, after, name):
    """Of the fields of a model that differ, by a comparison of its own."""
    old, new = (dict(leaves(loaded.config.models[name].model_dump(), ("models", name))) for loaded in (before, after))
    # All there is in arrays is live.
    return {reload_class(field_at(Config, key)) or Reload.LIVE for key in old | new if old.get(key) != new.get(key)}


@FEWER
@given(pairs(), rooms)
def test_the_laws_of_a_plan(pair, room):
    before, after = map(load, pair)
    found = plan(before, after, room)
    each_model_gets_what_the_strongest_of_its_changes_demands(before, after, room, found)
    each_model_is_named_once_in_the_files_order(before, after, found)
    opening_and_closing_makes_the_new_addresses_of_the_old(before, after, found)
    assert plan(after, after, room).is_empty


def each_model_gets_what_the_strongest_of_its_changes_demands(before, after, room, planned):
    found = {one.name: one for one in planned.models}
    for name in before.config.models | after.config.models:
        action = found[name].action if name in found else Action.NONE
        if name not in after.config.models:
            expected = Action.UNLOAD
        elif name not in before.config.models:
            expected = Action.LOAD if after.config.models[name].lifecycle.load == "eager" else Action.ADD
        elif Reload.MODEL in classes(before, after, name):
            fits = sum(room.reserved.values()) + room.reserved.get(name, 0) <= room.limit
            expected = Action.REPLACE if fits else Action.DRAIN_AND_REPLACE
        else:
            expected = Action.LIVE if classes(before, after, name) else Action.NONE
        assert action is expected
        if action in _CHANGES_SHOWN:
            assert {change.reload for change in found[name].changes} == classes(before, after, name)


def each_model_is_named_once_in_the_files_order(before, after, planned):
    names = [one.name for one in planned.models]
    order = [*after.config.models, *(name for name in before.config.models if name not in after.config.models)]
    assert names == [name for name in order if name in names]


def opening_and_closing_makes_the_new_addresses_of_the_old(before, after, planned):
    found = {one.role: one for one in planned.listeners}
    old, new = listen_addresses(before.config), listen_addresses(after.config)
    for role in old:
        opened, closed = (set(found[role].opened), set(found[role].closed)) if role in found else (set(), set())
        assert set(new[role]) == (set(old[role]) - closed) | opened
        assert not opened & set(old[role])
        assert not closed & set(new[role])
    assert all(one.opened or one.closed for one in found.values())
