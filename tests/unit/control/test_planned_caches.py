"""What a plan says of the caches that share one pool."""

import pytest

from mlxd.control.planner import CacheShare, Room, plan
from tests.support.configurations import load

MODEL = {"source": "org/name"}
SIZED = MODEL | {"cache": {"memory": "1GiB"}}
ONE = {"models": {"m": MODEL}}
LOADED = Room(limit=10_000, reserved={"m": 1500}, pool=1000, shares={"m": 1000})


def caches(after, before=ONE, room=LOADED):
    return list(plan(load(before), load(after), room).caches)


@pytest.mark.parametrize("new", [MODEL, MODEL | {"source": "org/other"}])
def test_a_new_model_shares_what_there_is(new):
    assert caches({"models": {"m": MODEL, "new": new}}) == [CacheShare("m", 1000, 500), CacheShare("new", None, 500)]


@pytest.mark.parametrize("new", [SIZED, MODEL | {"lifecycle": {"load": "lazy"}}, MODEL | {"cache": {"kind": "none"}}])
def test_one_with_a_size_of_its_own_or_without_a_cache_or_not_loaded_yet_takes_none_of_it(new):
    assert caches({"models": {"m": MODEL, "new": new}}) == []


@pytest.mark.parametrize("task", ["embed", "rerank"])
def test_one_that_encodes_takes_none_of_it(task):
    assert caches({"models": {"m": MODEL, "new": MODEL | {"task": task}}}) == []


def test_one_that_has_turned_out_to_encode_takes_none_of_it_whatever_else_changes():
    both, third = {"models": {"m": MODEL, "encoder": MODEL}}, {"models": {"m": MODEL, "encoder": MODEL, "new": MODEL}}
    room = Room(limit=10_000, reserved={"m": 1500, "encoder": 100}, pool=1000, shares={"m": 1000})
    assert caches(both | {"log": {"level": "debug"}}, both, room) == []
    assert caches(third, both, room) == [CacheShare("m", 1000, 500), CacheShare("new", None, 500)]
    assert caches({"models": {"m": MODEL, "encoder": SIZED}}, both, room) == []


def test_one_whose_cache_had_a_size_and_has_none_any_more_takes_part():
    sized = {"models": {"m": MODEL, "other": SIZED}}
    room = Room(limit=10_000, reserved={"m": 1500, "other": 1500}, pool=1000, shares={"m": 1000})
    assert caches({"models": {"m": MODEL, "other": MODEL}}, sized, room) == [CacheShare("m", 1000, 500), CacheShare("other", None, 500)]


def test_one_that_goes_leaves_its_share_to_the_others():
    room = Room(limit=10_000, reserved={"m": 700, "other": 700}, pool=1000, shares={"m": 500, "other": 500})
    both = {"models": {"m": MODEL, "other": MODEL}}
    assert caches(ONE, both, room) == [CacheShare("m", 500, 1000), CacheShare("other", 500, None)]
    assert caches({"models": {"m": MODEL, "other": SIZED}}, both, room) == [CacheShare("m", 500, 1000), CacheShare("other", 500, None)]


def test_what_the_limit_leaves_is_shared_where_that_is_less_than_the_pool():
    room = Room(limit=10_000, reserved={"m": 700}, pool=1000, shares={"m": 600})
    assert caches({"models": {"m": MODEL, "new": MODEL}}, room=room)[0] == CacheShare("m", 600, 300)


def test_without_a_change_of_models_nothing_is_said():
    assert caches(ONE | {"log": {"level": "debug"}}) == []
