"""Guesses that were wrong, at every place of a block: what was computed of them is nobody's, now and later."""

import pytest

from mlxd.types import Limits
from mlxd.worker.engine.speculation.drafter import Guesses
from mlxd.worker.engine.speculation.speculation import Speculation, most_guesses
from tests.unit.worker_engine.paged_runner.rig import BLOCK, Rig
from tests.unit.worker_engine.simulated_executor import next_token

NEVER = 99  # no token that the device samples


class Wrong(Speculation):
    """So many right guesses, and ``wrong`` ones behind them."""

    def __init__(self, right, wrong, ends_after=10**9):
        super().__init__(Limits())
        self.right, self.wrong, self.ends_after = right, wrong, ends_after
        self.is_awaited = True

    def guesses(self, decoding):
        return {one.id: self._guessed(one) for one in decoding if not one.in_flight}

    def _guessed(self, sequence):
        tokens = list(sequence.tokens)
        for _ in range(self.right):
            tokens.append(next_token(tokens, self.ends_after))
        found = (*tokens[len(sequence.tokens) :], *[NEVER] * self.wrong)
        return Guesses(len(found), found).first(most_guesses(sequence, len(found)))


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("wrong", [1, 2, BLOCK + 1])
@pytest.mark.parametrize("right", [0, 1, 2])
@pytest.mark.parametrize("length", range(1, BLOCK + 1))
def test_nobody_finds_a_block_with_a_guess_in_the_place_of_its_last_token(length, right, wrong, ahead):
    rig = Rig(ahead=ahead, guesses=0)
    rig.scheduler._speculation = Wrong(right, wrong)
    rig.add("first", range(1, length + 1), max_tokens=3 * BLOCK)
    rig.run()
    computed = rig.executor.computed
    assert rig.all_right("first")
    for end in range(BLOCK, 3 * BLOCK):
        rig.add(f"turn {end}", [*range(1, length + 1), *rig.tokens["first"][:end], 7], max_tokens=2)
        rig.run()
        assert rig.all_right(f"turn {end}")
        assert rig.started[f"turn {end}"].cached_tokens == (length + end) // BLOCK * BLOCK
    assert rig.drafted > rig.accepted
    assert computed <= length + (1 + right + wrong) * 3 * BLOCK  # nothing is computed twice


@pytest.mark.parametrize(("right", "wrong", "accepted", "rejected"), [(3, 0, 3, 0), (4, 0, 4, 0), (5, 0, 4, 0), (4, 2, 4, 0), (3, 1, 3, 1)])
def test_an_end_that_was_guessed_counts_as_right_and_what_was_guessed_behind_it_as_nothing(right, wrong, accepted, rejected):
    rig = Rig(ahead=False, ends_after=11)
    rig.scheduler._speculation = Wrong(right, wrong, ends_after=11)
    rig.add("first", range(1, 8), max_tokens=30)  # of four tokens, and the end behind them
    rig.run()
    last = rig.reports[-1].sampled[-1]
    assert (last.is_end, len(last.tokens)) == (True, 4)
    assert (last.accepted, last.rejected) == (accepted, rejected)
