"""What recurrent states take is counted, not walked, and stays within the cache's limit."""

import msgspec
import pytest

from mlxd.types import ResolvedLimits
from mlxd.worker.runtime.paged.build import paged_runner, proved_model
from tests.worker.runner_rig import PagedRig, RunnerRig, architecture, plain, words

HYBRIDS = ["qwen3_next", "mamba2", "falcon_h1"]


@pytest.fixture(scope="module", params=HYBRIDS)
def loaded(request):
    return architecture(request.param)


@pytest.mark.parametrize(("loaded", "ahead"), [*((name, True) for name in HYBRIDS), ("qwen3_next", False)], indirect=["loaded"])
def test_the_count_is_what_is_held_after_every_step(loaded, ahead):
    rig = PagedRig(loaded, ahead=ahead, arena_blocks=16, max_arenas=1, step_tokens=64, snapshots=6)
    checked, check = [], rig.check

    def check_states():
        check()
        rig.model.states.check_integrity()
        checked.append(rig.model.states.nbytes + rig.model.states.snapshot_nbytes)

    rig.check = check_states
    for number in range(5):
        rig.add(str(number), [*words(1, 8), *words(number, 5)], max_tokens=16)
    for _ in range(4):
        rig.step()
    rig.runner.abort("1")
    rig.run()
    assert rig.preemptions > 0
    assert max(checked) > checked[-1] > 0
    rig.executor.reset()
    assert rig.model.states.nbytes == rig.model.states.snapshot_nbytes == 0


def test_one_that_gave_its_blocks_back_holds_no_state(loaded):
    rig = PagedRig(loaded, arena_blocks=16, max_arenas=1, step_tokens=64)
    for number in range(4):
        rig.add(str(number), b"story number %d" % number, max_tokens=24)
    while not rig.preemptions:
        rig.step()
    assert set(rig.model.states._stack_of) <= set(rig.runner._scheduler.running)


def limited(loaded, states, **limits):
    """A runner whose cache has room for so many running states, as the worker builds it."""
    model = proved_model(loaded, 4)
    size = model.states.bytes_per_sequence
    share = 4 if model.token_bytes else 2
    limits = ResolvedLimits(**({"cache_bytes": max(share * states * size, 2**16), "max_sequences": 12, "step_tokens": 32} | limits))
    return RunnerRig(paged_runner(loaded, model, limits)), model, limits


def test_all_that_a_hybrid_holds_fits_the_cache_s_limit(loaded):
    rig, model, limits = limited(loaded, 24)
    for number in range(14):
        rig.add(str(number), words(number, 20), max_tokens=6)
    while not rig.runner.is_idle:
        rig.step()
        held = model.states.bytes_per_sequence * len(model.states._stack_of)
        memory = rig.runner.memory()
        assert (
            memory.kv + memory.states + memory.snapshots <= limits.cache_bytes + held / 4
        )  # snapshots that the present step takes come on top
    assert rig.tokens["7"] == plain(loaded, words(7, 20), 6, said=rig.tokens["7"])


def test_no_more_run_than_have_room_for_their_states(loaded):
    rig, model, limits = limited(loaded, 3)
    room = rig.runner.capacity
    assert room < 12
    for number in range(8):
        rig.add(str(number), words(number, 9), max_tokens=6)
    while not rig.runner.is_idle:
        rig.step()
        assert len(model.states._stack_of) <= room
    assert len(rig.ended) == 8
    rig.runner.reconfigure(msgspec.structs.replace(limits, cache_bytes=100 * limits.cache_bytes))
    assert rig.runner.capacity == 12
    rig.runner.reconfigure(msgspec.structs.replace(limits, max_sequences=1))
    assert rig.runner.capacity == 1
