"""The built-in model through a real worker process."""

import time

import pytest

from mlxd.types import CacheOutcome, FinishReason
from mlxd.wire.messages import Ready
from tests.worker.worker_link import generate, in_process

pytestmark = pytest.mark.real_model


@pytest.mark.timeout(600)  # the first time it is fetched
@pytest.mark.usefixtures("compiled")
async def test_the_capital_of_france_and_its_second_asking():
    async with in_process() as (link, _process):
        assert isinstance(await link.load("builtin:smollm2-135m", heartbeat_interval=1.0), Ready)
        question = "What is the capital of France? " + "Answer in one short sentence, and name the city. " * 6
        durations = []
        for name in ("a", "b"):
            began = time.monotonic()
            link.send(generate(name, question, max_tokens=24))
            await link.first_token(name)
            durations.append(time.monotonic() - began)
            last = await link.ended(name)
            assert "Paris" in link.text(name)
            assert last.reason in {FinishReason.STOP, FinishReason.LENGTH}
        assert "<|im_end|>" not in link.text("a")
        assert link.text("a") == link.text("b")
        assert (await link.started("b")).cache is CacheOutcome.HIT
        assert durations[1] < durations[0]
