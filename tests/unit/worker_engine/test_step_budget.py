"""How many tokens of prompts a step may have."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxd.types import Limits
from mlxd.worker.engine.step_budget import MINIMUM, StepBudget


@given(
    base=st.floats(0.001, 0.5),
    per_token=st.floats(1e-5, 0.02),
    target=st.floats(0.01, 1),
    rows=st.integers(1, 32),
    largest=st.integers(64, 2048),
)
@settings(deadline=None)
def test_the_budget_learns_what_keeps_a_step_within_its_target(base, per_token, target, rows, largest):
    budget = StepBudget(largest=largest)
    for _ in range(60):
        budget.observe(seconds=base, prefill_tokens=0, decode_rows=rows)
        tokens = budget.prefill_tokens(Limits(target_itl=target), decode_rows=rows)
        assert MINIMUM <= tokens <= largest
        budget.observe(seconds=base + per_token * tokens, prefill_tokens=tokens, decode_rows=rows)
    tokens = budget.prefill_tokens(Limits(target_itl=target), decode_rows=rows)
    assert base + per_token * tokens <= target * 1.1 or tokens == MINIMUM


def test_with_nobody_to_disturb_chunks_are_as_large_as_is_efficient():
    assert StepBudget(largest=512).prefill_tokens(Limits(target_itl=0.001), decode_rows=0) == 512


@pytest.mark.parametrize("rows", [1, 16])
def test_before_anything_is_known_the_first_chunks_are_small(rows):
    assert StepBudget(largest=2048).prefill_tokens(Limits(target_itl=0.2), decode_rows=rows) <= 64
