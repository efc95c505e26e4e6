"""Who waits for whom when many ask at once: the scheduler on a device whose steps take known time, and no clock."""

import pytest

from mlxd.types import Limits, SamplingParams
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.engine.prompt_budget import PromptBudget
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.step_cost import StepShape
from mlxd.worker.kv.block_chain import BlockChain
from tests.unit.worker_engine.serving import ROOT, Serving
from tests.unit.worker_engine.simulated_device import SimulatedDevice, known

SLOW = SimulatedDevice(0.052, 0.009, 0.002, 0.003, noise=0.0)


def burst(users):
    """The first arrives a moment before the others, as in life."""
    serving = Serving(SLOW)
    serving.ask("0", 85, 48)
    serving.step()
    for user in range(1, users):
        serving.ask(str(user), 85, 48)
    serving.until_idle()
    return serving


def test_who_asks_together_begins_together():
    """Prompts one after the other take this long; streams that begin earlier do not double it."""
    prompts_alone = 16 * 85 * SLOW.token
    assert max(burst(16).first.values()) < 1.2 * prompts_alone


@pytest.mark.parametrize(("turns", "are_beginning"), [(3, True), (8, True), (9, False)])
def test_a_beginning_is_so_many_steps_however_many_tokens_were_guessed(turns, are_beginning):
    prompt = EncodedPrompt([1] * 85, 200, ROOT)
    stream = Sequence(EngineRequest("0", prompt, SamplingParams()), BlockChain.of(prompt, 16), tokens=[1] * (85 + 45), turns=turns)
    known_device = known(SLOW, largest=512)
    for _ in range(3):
        SLOW.run(known_device, StepShape(prompts=1, prefill_tokens=256))
    budget = PromptBudget.of([stream], known_device, Limits())
    assert (budget.together > budget.beside) == are_beginning


def test_each_step_of_a_stream_is_counted_and_no_part_of_its_prompt():
    serving = Serving(SLOW)
    serving.ask("stream", 20, 60)
    for _ in range(5):
        serving.step()
    assert serving.scheduler.running["stream"].turns == 4


def test_only_the_first_tokens_of_a_burst_are_late():
    for gaps in burst(16).gaps.values():
        assert max(gaps[8:]) <= 0.2 + SLOW.alone(16)


def test_a_prompt_that_comes_later_disturbs_nobody_s_beginning():
    serving = Serving(SLOW)
    serving.ask("stream", 20, 60)
    serving.step()
    serving.step()
    serving.ask("long", 4000, 2)
    serving.until_idle()
    assert max(serving.gaps["stream"]) < 1.2 * (0.2 + SLOW.alone(2))


def test_a_settled_stream_is_not_disturbed_by_a_burst_behind_it():
    serving = Serving(SLOW)
    serving.ask("stream", 20, 100)
    for _ in range(20):
        serving.step()
    for user in range(8):
        serving.ask(str(user), 85, 8)
    serving.until_idle()
    assert max(serving.gaps["stream"]) < 1.2 * (0.2 + 1.2 * SLOW.alone(9))


def test_a_queue_of_long_prompts_is_no_burst_for_ever():
    """All came before the first stream was heard, but it is held up for its first tokens only."""
    serving = Serving(SLOW)
    serving.ask("stream", 20, 40)
    for user in range(6):
        serving.ask(str(user), 3000, 4)
    serving.until_idle()
    assert max(serving.gaps["stream"][9:]) < 1.2 * (0.2 + 1.2 * SLOW.alone(7))


def test_what_is_left_of_a_step_is_given_to_the_next_prompt_only_where_it_is_worth_it():
    serving = Serving(SLOW)
    for user in range(30):
        serving.ask(str(user), 85, 30)
    parts = []
    while not serving.scheduler.is_idle:
        parts += [chunk.count for chunk in serving.step().chunks if chunk.count > 1 or not chunk.start]
    assert sum(count < 8 for count in parts) <= len(parts) // 10
