"""Beginnings of prompts that stay, and keys with quotas, over the simulated device."""

import msgspec
import pytest

from mlxd.cache_terms import CacheQuota, PinState
from mlxd.types import CacheOutcome, Restraint
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.engine.pin_order import PinOrder
from tests.support.memory_tier import MemoryTier
from tests.unit.worker_engine.paged_runner.rig import BLOCK, Rig
from tests.unit.worker_engine.pictures import Picture
from tests.unit.worker_engine.seeing_executor import Sight
from tests.unit.worker_engine.simulated_executor import ROOT

SYSTEM = tuple(range(101, 101 + 5 * BLOCK + 2))  # five blocks and a half
KINDS = {"plain": {}, "windows": {"windows": (6,)}, "states": {"snapshots": 8}, "all": {"windows": (6, 9), "snapshots": 8}}


def order(tokens=SYSTEM, name="support", **changes):
    return PinOrder(name, ROOT, tuple(tokens), **changes)


def test_a_picture_behind_a_pinned_beginning_is_found_with_it_and_let_go_without():
    rig = Rig(blocks=32, sight=Sight(), embeddings=0)
    rig.runner.pin([order()])
    rig.run()
    shown = [*SYSTEM[: 5 * BLOCK], Picture(), 1, 2, 3, 4, 5]
    for name in ("first", "again"):
        rig.show(name, shown, max_tokens=2)
        rig.run()
    flood(rig)
    rig.show("later", shown, max_tokens=2)
    rig.run()
    assert [rig.started[name].cached_tokens // BLOCK for name in ("first", "again", "later")] == [5, 7, 5]
    assert len(rig.executor.encoded) == 2
    assert rig.all_right("first", "again", "later")


def flood(rig, rounds=12, who=""):
    for _ in range(rounds):
        first = len(rig.requests) * 1000 + 7
        rig.add(f"flood {len(rig.requests)}", range(first, first + 40), max_tokens=2, asks={"holder": who})
        rig.run()


def found(rig, prompt):
    """How many of a prompt's tokens were in the cache."""
    name = f"asks {len(rig.requests)}"
    rig.add(name, prompt, max_tokens=2)
    rig.run()
    assert rig.all_right(name)
    return rig.started[name].cached_tokens


def states(rig):
    return {pin.name: pin.state for pin in rig.runner.cache().pins}


@pytest.mark.parametrize("kind", KINDS)
def test_a_pinned_beginning_is_found_after_any_flood(kind):
    rig = Rig(blocks=32, step_tokens=8, **KINDS[kind])
    rig.runner.pin([order()])
    assert states(rig) == {"support": PinState.COMPUTING}
    rig.run()
    assert states(rig) == {"support": PinState.KEPT}
    figures = rig.runner.cache()
    assert (figures.kept.used, figures.kept.cached) == (0, 5)
    assert (figures.bytes_used, figures.bytes_cached, figures.bytes_pinned) == (0, 5 * BLOCK, 5 * BLOCK)
    flood(rig)
    assert rig.manager.pool.evicted > 0
    assert found(rig, [*SYSTEM, *range(900, 910)]) == 5 * BLOCK
    rig.runner.evict_cached()
    assert found(rig, [*SYSTEM, *range(700, 710)]) == 5 * BLOCK
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, restraint=Restraint(cache_share=0.3)))
    flood(rig, 2)
    assert found(rig, [*SYSTEM, *range(500, 510)]) == 5 * BLOCK


def test_without_a_pin_a_flood_evicts_it():
    rig = Rig(blocks=32, step_tokens=8)
    assert found(rig, [*SYSTEM, *range(900, 910)]) == 0
    flood(rig)
    assert found(rig, [*SYSTEM, *range(900, 910)]) == 0


def test_pins_change_while_others_run():
    rig = Rig(blocks=32, step_tokens=8)
    rig.runner.pin([order()])
    rig.add("running", range(1, 30), max_tokens=12)
    rig.step()
    other = tuple(range(201, 217))
    rig.runner.pin([order(other, "other")])  # the first one is not computed yet
    rig.run()
    assert rig.all_right("running")
    assert states(rig) == {"other": PinState.KEPT}
    assert rig.runner.cache().bytes_pinned == 4 * BLOCK
    rig.runner.pin([])
    assert rig.runner.cache().bytes_pinned == 0
    flood(rig)
    assert found(rig, [*other, 1, 2]) == 0
    rig.runner.pin([order(), order(other, "other")])
    rig.run()
    rig.runner.pin([order(name="renamed"), order(other, "other")])
    rig.run()
    assert states(rig) == {"renamed": PinState.KEPT, "other": PinState.KEPT}
    assert rig.runner.cache().bytes_pinned == 9 * BLOCK
    rig.manager.check_integrity()


def test_two_pins_share_their_beginning():
    rig = Rig(blocks=32, step_tokens=8)
    longer = (*SYSTEM, *range(300, 310))
    rig.runner.pin([order(), order(longer, "longer")])
    rig.run()
    assert rig.runner.cache().bytes_pinned == 8 * BLOCK
    rig.runner.pin([order(longer, "longer")])
    flood(rig)
    assert found(rig, [*longer, 1, 2]) == 8 * BLOCK
    rig.runner.pin([order()])
    rig.run()
    flood(rig)
    assert found(rig, [*longer, 3, 4]) == 5 * BLOCK


def test_who_asks_for_it_meanwhile_waits_for_what_is_computed():
    rig = Rig(blocks=32, step_tokens=8)
    rig.runner.pin([order()])
    rig.add("asks", [*SYSTEM, 1, 2, 3], max_tokens=2, arrived=10**9)
    rig.run()
    assert rig.started["asks"].cached_tokens == 5 * BLOCK
    assert rig.started["asks"].cache is CacheOutcome.PREFIX_HIT
    assert sum(report.tokens for report in rig.reports) < 2 * len(SYSTEM)


@pytest.mark.parametrize(
    ("orders", "says"),
    [
        ([order(range(1, 4))], {"support": "whole blocks of 4"}),
        ([order(range(1000, 1200))], {"support": "half of cache.memory"}),
        ([order(range(1000, 1048), "first"), order(range(2000, 2048), "second")], {"second": "are left for it"}),
        ([order((), refusal="the model has no chat template")], {"support": "no chat template"}),
    ],
)
def test_what_cannot_be_kept_is_refused_with_the_reason(orders, says):
    rig = Rig(blocks=32, step_tokens=8)
    rig.runner.pin(orders)
    rig.run()
    refused = {pin.name: pin.reason for pin in rig.runner.cache().pins if pin.state is PinState.REFUSED}
    assert refused.keys() == says.keys()
    assert all(says[name] in refused[name] for name in says)
    assert set(states(rig).values()) <= {PinState.REFUSED, PinState.KEPT}


def test_one_that_fits_no_more_is_let_go_and_comes_back():
    rig = Rig(blocks=32, step_tokens=8)
    rig.runner.pin([order()])
    rig.run()
    for blocks, state, pinned in ((8, PinState.REFUSED, 0), (32, PinState.KEPT, 5)):
        rig.runner.reconfigure(msgspec.structs.replace(rig.limits, cache_bytes=blocks * BLOCK))
        rig.runner.pin([order()])
        rig.run()
        assert states(rig) == {"support": state}
        assert rig.runner.cache().bytes_pinned == pinned * BLOCK


def test_a_prompt_that_fits_only_without_pins_is_refused_and_one_that_begins_with_them_is_not():
    rig = Rig(blocks=16, step_tokens=64)
    rig.runner.pin([order()])
    rig.run()
    rig.add("other", range(1000, 1000 + 13 * BLOCK), max_tokens=2)
    assert "beside what is pinned" in str(rig.failed["other"])
    rig.add("begins", [*SYSTEM[: 5 * BLOCK], *range(1000, 1000 + 8 * BLOCK)], max_tokens=2)
    rig.run()
    assert rig.all_right("begins")


def test_after_a_step_that_failed_pins_are_computed_again():
    rig = Rig(blocks=32, step_tokens=8)
    rig.runner.pin([order()])
    rig.run()
    run, rig.executor.run = rig.executor.run, lambda _: 1 / 0
    rig.add("unlucky", range(1, 20))
    rig.step()
    rig.executor.run = run
    assert "unlucky" in rig.failed
    rig.run()
    assert states(rig) == {"support": PinState.KEPT}
    assert found(rig, [*SYSTEM, 1, 2, 3]) == 5 * BLOCK


def test_one_that_cannot_be_computed_is_refused_after_a_few_tries():
    rig = Rig(blocks=32, step_tokens=8)
    run, rig.executor.run = rig.executor.run, lambda _: 1 / 0
    rig.runner.pin([order()])
    rig.run()
    assert states(rig) == {"support": PinState.REFUSED}
    assert "could not be computed" in rig.runner.cache().pins[0].reason
    rig.executor.run = run
    rig.add("asks", range(1, 20))
    rig.run()
    assert rig.all_right("asks")


def test_one_that_fits_no_more_before_it_begins_leaves_nothing_behind():
    rig = Rig(blocks=32, step_tokens=8, max_sequences=1)
    rig.add("running", range(1, 10), max_tokens=4)
    rig.runner.pin([order()])
    rig.step()
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, cache_bytes=5 * BLOCK))
    rig.run()
    assert rig.all_right("running")
    assert states(rig) == {"support": PinState.REFUSED}
    assert not rig.executor.tokens


def test_the_state_behind_a_pin_outlives_the_answer_that_it_was_copied_in():
    rig = Rig(blocks=64, step_tokens=8, snapshots=16)
    rig.add("talks", SYSTEM[:9], max_tokens=24)
    while len(rig.tokens.get("talks", [])) < 9:
        rig.step()
    known = [*SYSTEM[:9], *rig.tokens["talks"]][: 4 * BLOCK]
    rig.runner.pin([order([*known, 99])])
    rig.run()
    assert states(rig) == {"support": PinState.KEPT}
    rig.add("asks", [*known, *range(900, 910)], max_tokens=2)
    rig.run()
    assert rig.started["asks"].cached_tokens == 4 * BLOCK


def test_another_root_finds_nothing_of_it():
    rig = Rig(blocks=32, step_tokens=8)
    rig.runner.pin([PinOrder("other", CacheRoot(model="other"), SYSTEM)])
    rig.run()
    assert found(rig, [*SYSTEM, 1, 2, 3]) == 0


def test_pins_beside_a_disk_stay_in_memory_and_come_from_there():
    tier = MemoryTier()
    rig = Rig(blocks=32, step_tokens=8, tier=tier)
    rig.runner.pin([order()])
    rig.settle()
    flood(rig, 4)
    assert found(rig, [*SYSTEM, 1, 2, 3]) == 5 * BLOCK
    again = Rig(blocks=32, step_tokens=8, tier=tier)
    again.runner.pin([order()])
    again.run_reading()
    assert states(again) == {"support": PinState.KEPT}
    assert sum(report.tokens for report in again.reports) < len(SYSTEM)


@pytest.mark.parametrize("kind", KINDS)
def test_a_quota_saves_a_conversation_from_another_keys_flood(kind):
    turn = range(5000, 5000 + 6 * BLOCK)
    kept = (5 if "snapshots" in KINDS[kind] else 6) * BLOCK  # a state is copied before the last token of a prompt
    for quotas, expected in (((), 0), ((CacheQuota(holder="agents", fraction=0.4),), kept)):
        rig = Rig(blocks=32, step_tokens=16, **KINDS[kind])
        rig.runner.reconfigure(msgspec.structs.replace(rig.limits, quotas=quotas))
        assert found(rig, turn) == 0
        flood(rig, who="agents")
        assert found(rig, [*turn, 1, 2, 3]) == expected
        held = rig.runner.cache().keys
        assert held["agents"].held > 0
        assert (held["agents"].quota is not None) == bool(quotas)


def test_what_comes_from_disk_is_charged_to_who_asked_for_it():
    tier = MemoryTier()
    before, after = (Rig(blocks=32, step_tokens=16, tier=tier) for _ in range(2))
    theirs = [range(first, first + 10 * BLOCK) for first in range(1000, 13000, 1000)]
    for number, prompt in enumerate(theirs):
        before.add(f"{number}", prompt, max_tokens=2, asks={"holder": "agents"})
        before.settle()
    after.runner.reconfigure(msgspec.structs.replace(after.limits, quotas=(CacheQuota(holder="agents", fraction=0.4),)))
    turn = range(50000, 50000 + 6 * BLOCK)
    assert found(after, turn) == 0
    for number, prompt in enumerate(theirs):
        after.add(f"{number}", [*prompt, 7], max_tokens=2, asks={"holder": "agents"})
        after.settle()
        assert after.started[f"{number}"].disk_tokens == 10 * BLOCK
    assert found(after, [*turn, 1, 2, 3]) == 6 * BLOCK
    assert after.started[f"asks {len(after.requests) - 1}"].disk_tokens == 0


def test_a_quota_in_bytes_is_a_share_of_what_there_is():
    rig = Rig(blocks=32)
    wanted = CacheQuota(holder="a", size=16 * BLOCK), CacheQuota(holder="b", size=10**9)
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, quotas=wanted))
    quotas = {name: one.quota for name, one in rig.runner.cache().keys.items()}
    assert quotas == {"a": int(32 / 3) * BLOCK, "b": int(64 / 3) * BLOCK}
