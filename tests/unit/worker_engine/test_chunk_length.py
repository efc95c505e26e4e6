"""How long the chunks of a prompt are: few lengths, none of them dear, and the last one as it comes."""

from hypothesis import given
from hypothesis import strategies as st

from mlxd.types import Limits
from mlxd.worker.engine.prompt_budget import chunk_length
from tests.unit.worker_engine.serving import Serving
from tests.unit.worker_engine.simulated_device import SimulatedDevice

DEVICE = SimulatedDevice(0.02, 0.001, 0.001, 0.001, noise=0.0)


@given(most=st.integers(1, 4096), left=st.integers(1, 4096))
def test_a_chunk_is_what_is_left_or_an_even_part_of_what_there_is_room_for(most, left):
    length = chunk_length(most, left)
    assert 0 < length <= min(most, left)
    if left <= most or most < 64:
        assert length == min(most, left)
    else:
        assert length % (64 if most >= 256 else 16) == 0
        assert length > 0.8 * most


def test_there_are_few_lengths():
    assert len({chunk_length(most, 10**6) for most in range(64, 2049)}) == 12 + 29


def chunks_beside(rows, **limits):
    serving = Serving(DEVICE, limits=Limits(**limits), largest=2048)
    for row in range(rows):
        serving.ask(f"stream{row}", 20, 200)
    serving.step()
    serving.ask("long", 5000, 2)
    found = []
    while "long" not in serving.first:
        found += [chunk.count for chunk in serving.step().chunks if chunk.sequence == "long"]
    return found


def test_all_chunks_of_a_prompt_but_its_last_are_even():
    for rows, step_tokens in ((0, None), (5, None), (0, 700), (5, 700), (5, 333)):
        *chunks, last = chunks_beside(rows, step_tokens=step_tokens)
        assert sum(chunks) + last == 5000
        assert all(count % 64 == 0 if count >= 256 else count % 16 == 0 or count < 64 for count in chunks)
