"""Compiled decode steps compute what the plain ones do, whatever the rows, in place."""

import mlx.core as mx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.paged.slots import Geometry
from tests.support.examples import examples
from tests.worker.attention import steps as random_steps
from tests.worker.compiled.steps import BLOCK, Steps
from tests.worker.runner_rig import architecture

pytestmark = pytest.mark.usefixtures("traced")

PROMPT = (Chunk("0", 0, 2 * BLOCK, None, (Run(0, 2),), samples=True),)
CLOSE = 1e-4  # standard deviations


@pytest.fixture(scope="module")
def steps():
    found = Steps(architecture("llama"))
    found.fill(StepPlan(chunks=PROMPT))
    found.compile()
    return found


@st.composite
def decode_steps(draw):
    """Newest tokens of a few sequences in any blocks, some of them with guesses behind, all but sequences' first ones."""
    chunks = draw(random_steps.chunks(Geometry(BLOCK, 60)))
    return [Chunk(c.sequence, c.start, c.count, None, c.runs, samples=True, drafts=c.count - 1) for c in chunks if c.start]


UNFILTERED = [HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture]


@settings(max_examples=examples(24), deadline=None, suppress_health_check=UNFILTERED)
@given(chunks=decode_steps().filter(bool))
def test_logits_are_those_of_the_plain_step(steps, chunks):
    assert steps.difference([_guessed(chunk) for chunk in chunks]) < CLOSE
    assert steps.compiled.trouble is None


def _guessed(chunk):
    return Chunk(chunk.sequence, chunk.start, chunk.count, tuple(range(chunk.count)), chunk.runs, samples=True, drafts=chunk.drafts)


@pytest.mark.parametrize("name", ["gemma3_text", "gpt_oss", "cohere2", "qwen3_moe", "phi3", "olmo2", "starcoder2", "deepseek_v3"])
def test_architectures(name):
    """Windows, sinks, experts, latents, soft-capped logits, heads tied to embeddings or not."""
    found = Steps(architecture(name), arenas=2)
    found.fill(StepPlan(chunks=PROMPT))
    compiled = found.compile()
    for at in range(3):
        rows = [Chunk(str(row), 9 + 6 * row + at, 1, None, (Run(20 * row, 20 * row + 15),), samples=True) for row in range(4)]
        assert found.difference(rows) < CLOSE
        assert found.difference(rows[:1]) < CLOSE
    assert compiled.trouble is None
    assert compiled.traced >= 2


def step_of(rows, start, blocks=4):
    return [Chunk(str(row), start, 1, None, (Run(blocks * row, blocks * row + blocks),), samples=True) for row in range(rows)]


def test_steps_of_a_shape_are_traced_once(steps):
    steps.forward(step_of(3, 8), compiled=True)
    before = steps.compiled.traced
    for start in range(9, 16):
        steps.forward(step_of(3, start), compiled=True)
    assert steps.compiled.traced == before


def test_an_arena_is_written_in_place():
    """A step takes what its rows gather, whatever the arena's size."""
    found = Steps(architecture("llama"), arenas=1, arena_blocks=2**15)
    found.fill(StepPlan(chunks=PROMPT))
    found.compile()
    found.forward(step_of(3, 8), compiled=True)
    arena = found.model.nbytes // (2 * len(found.model.layers))
    assert arena >= 8 * 2**20
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    for start in (9, 10, 11):
        found.forward(step_of(3, start), compiled=True)
    assert mx.get_peak_memory() - before < arena / 16
    assert mx.get_active_memory() <= before + 2**16


def test_only_newest_tokens_are_compiled(steps):
    """A prompt's part, targets and a sequence's first token are computed as they are, and so is all that is in a step with them."""
    for chunk in (
        Chunk("1", 8, 3, None, (Run(4, 8),), samples=True),
        Chunk("1", 0, 1, None, (Run(4, 8),), samples=True),
        Chunk("1", 8, 1, None, (Run(4, 8),), samples=True, targets=(5,)),
    ):
        traced = steps.compiled.traced
        assert steps.difference([*step_of(1, 8), chunk]) == 0
        assert steps.compiled.traced == traced


def test_a_row_that_nobody_samples_has_no_logits(steps):
    rows = step_of(3, 9)
    silent = [*rows[:1], Chunk("1", 9, 1, None, rows[1].runs, samples=False), *rows[2:]]
    logits = steps.forward(silent, compiled=True)
    assert [row.sequence for row in logits.sampled] == ["0", "2"]
    assert mx.array_equal(logits.rows, steps.forward(rows, compiled=True).rows[mx.array([0, 2])])
