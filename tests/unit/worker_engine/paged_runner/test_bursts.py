"""Steps that give several tokens of a sequence at once."""

import pytest

from mlxd.types import FinishReason
from tests.unit.worker_engine.paged_runner.rig import Rig


@pytest.mark.parametrize("snapshots", [None, 16])
def test_several_tokens_a_step_are_the_same_tokens(snapshots):
    rig = Rig(ahead=False, burst=3, snapshots=snapshots)
    for name in "abc":
        rig.add(name, [ord(name), 1, 2], max_tokens=20)
    rig.run()
    assert rig.all_right(*"abc")
    assert max(len(event.tokens) for report in rig.reports for event in report.sampled) == 3


def test_what_lies_beyond_max_tokens_is_nobody_s():
    rig = Rig(ahead=False, burst=3)
    rig.add("a", [7, 1, 2], max_tokens=4)
    rig.run()
    assert len(rig.tokens["a"]) == 4
    assert rig.ended["a"] is FinishReason.LENGTH


def test_what_lies_behind_an_end_token_is_nobody_s():
    rig = Rig(ahead=False, burst=3, ends_after=7)
    rig.add("a", [7, 1, 2], max_tokens=20)
    rig.run()
    assert rig.tokens["a"] == rig.expected("a")
    assert rig.tokens["a"].count(0) == 1
    assert rig.ended["a"] is FinishReason.STOP
