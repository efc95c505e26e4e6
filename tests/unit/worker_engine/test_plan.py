"""A step's plan says everything: encoded and decoded it is what it was. Plans of real traffic are sent so by the simulated device."""

import ast
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker import runtime
from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.kv.arena_sizes import Arena
from mlxd.worker.kv.block_chain import BlockKey
from mlxd.worker.kv.block_table import Run
from mlxd.worker.kv.move import Move
from mlxd.worker.kv.transfers import Fetch, Spill

numbers = st.integers(0, 2**40)
chunks = st.builds(
    Chunk,
    sequence=st.text(),
    start=numbers,
    count=numbers,
    tokens=st.none() | st.lists(numbers, max_size=5).map(tuple),
    runs=st.lists(st.builds(Run, numbers, numbers), max_size=3).map(tuple),
    samples=st.booleans(),
    resume=st.none() | numbers,
    keep=st.none() | numbers,
)
blocks = st.lists(numbers, max_size=4).map(tuple)
keys = st.builds(BlockKey, st.binary(), blocks, st.lists(st.binary(), max_size=2).map(tuple))
buffers = st.lists(st.binary().map(memoryview), max_size=2).map(tuple)
plans = st.builds(
    StepPlan,
    chunks=st.lists(chunks, max_size=3).map(tuple),
    spills=st.lists(st.builds(Spill, numbers, st.binary(), keys), max_size=2).map(tuple),
    fetches=st.lists(st.builds(Fetch, blocks, st.lists(buffers, max_size=2).map(tuple)), max_size=2).map(tuple),
    moves=st.lists(st.builds(Move, source=blocks, target=blocks), max_size=2).map(tuple),
    arenas=st.lists(st.builds(Arena, numbers, numbers), max_size=3).map(tuple),
    dropped=blocks,
    prefill_tokens=numbers,
)


@given(plan=plans)
def test_a_plan_that_was_sent_is_the_same_plan(plan):
    received = msgspec.msgpack.decode(msgspec.msgpack.encode(plan), type=StepPlan)
    assert received == plan
    assert hash(received) == hash(plan)  # every part of it is frozen, tuples and sets included


def test_a_plan_cannot_be_changed():
    with pytest.raises(AttributeError):
        StepPlan().arenas = ()


def test_whoever_computes_does_not_know_the_manager():
    """Only where a runner is put together do both meet."""
    know = set()
    for path in Path(runtime.__file__).parent.rglob("*.py"):
        names = [alias.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom) for alias in node.names]
        if {"Manager", "BlockPool"} & set(names):
            know.add(path.name)
    assert know == {"build.py", "disk.py"}
