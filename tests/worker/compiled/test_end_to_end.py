"""Compiled steps as an operator gets them: asked for in an order to load, proved, told, and used by every step that can be one."""

import shutil

import pytest

from mlxd.types import SpeculationKind
from mlxd.wire.events import Finished
from mlxd.wire.messages import Ready
from mlxd.worker.runtime.choose import choose_runner
from tests.support.wire_requests import resolved
from tests.worker.runner_rig import RunnerRig, alone, architecture, words
from tests.worker.worker_link import in_process, load_message

PAGED = {"mode": "continuous", "cache_kind": "paged", "attention": "gather"}


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("name", ["llama", "gemma3_text", "gpt_oss"])
def test_answers_with_look_up_and_in_company_are_the_plain_model_s(name):
    """A text that repeats itself, so that guesses are in the steps, too."""
    loaded = architecture(name)
    order = load_message("org/tiny", **PAGED, compile="on", block_size=8, speculation=SpeculationKind.AUTO)
    choice = choose_runner(order, resolved(order.limits), loaded)
    assert choice.compilation.is_used, choice.compilation.reason
    steps = choice.runner._executor._model.compiled
    traced, rig = steps.traced, RunnerRig(choice.runner)
    prompts = {"again": words(1, 12) * 4, "long": words(2, 40), "short": words(3, 5)}
    for step, (request, prompt) in enumerate(prompts.items()):
        rig.add(request, prompt, max_tokens=24)
        for _ in range(3 * step):
            rig.step()
    rig.run()
    assert rig.tokens == alone(loaded, prompts, 24, said=rig.tokens)
    assert steps.trouble is None
    assert steps.traced > traced


@pytest.mark.skipif(shutil.which("g++") is None, reason="MLX compiles on a CPU by g++, and calls functions as they are without it")
async def test_a_worker_compiles_and_says_so(scripted):
    """A real process, in which MLX fuses what it compiles."""
    async with in_process() as (link, _):
        ready = await link.load(scripted, **PAGED, compile="on")
        assert isinstance(ready, Ready)
        assert ready.compilation.is_used
        assert ready.compilation.reason == 'batching.compile = "on", and with gather its logits were proved'
        assert isinstance(await link.ask("a", "hi", max_tokens=None), Finished)
        compiled = link.text("a")
    assert compiled == "ab☃é日cd"
