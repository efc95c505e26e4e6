"""The events of several jobs, merged: in order within each choice, each ended once, and none left when one fails."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.api.choice_events import ChoiceEvents
from mlxd.api.jobs import fanned_out
from mlxd.client.worker_client import STREAM_EVENTS
from mlxd.errors import QueueFullError, SlowClientError
from mlxd.types import SamplingParams
from mlxd.wire.events import Finished
from mlxd.wire.jobs import Generate
from mlxd.wire.prompts import TextPrompt
from tests.support.fake_registry import FakeWorker
from tests.support.patience import PATIENCE

PROMPT = TextPrompt(text="x")


def jobs(count, **sampling):
    job = Generate(id="r", prompt=PROMPT, sampling=SamplingParams(**sampling), max_tokens=5)
    return fanned_out(job, [PROMPT], count)


@st.composite
def interleavings(draw):
    """Texts of some choices, and in which order the worker says them."""
    texts = draw(st.lists(st.lists(st.text(min_size=1, max_size=3), max_size=4), min_size=1, max_size=5))
    order = [choice for choice, said in enumerate(texts) for _ in range(len(said) + 1)]
    return texts, draw(st.permutations(order))


async def follow(texts, order, eager):
    """Says the texts in this order, the first ``eager`` before anybody listens; returns what came, by choice."""
    worker, came, left = FakeWorker(), [[] for _ in texts], [list(said) for said in texts]

    def say(choices):
        for choice in choices:
            request = worker.submitted[choice]
            if left[choice]:
                request.delta(left[choice].pop(0))
            else:
                request.finish()

    with ChoiceEvents(worker, jobs(len(texts))) as events:
        say(order[:eager])
        asyncio.get_running_loop().call_soon(say, order[eager:])
        async with asyncio.timeout(PATIENCE):
            async for told in events:
                came[told.choice].append(told.event)
    assert not any(request.aborted.is_set() for request in worker.submitted)
    return came


@given(interleavings(), st.integers(0, 25))
def test_each_choice_is_whole_and_in_order_however_they_mix(case, eager):
    texts, order = case
    came = asyncio.run(follow(texts, order, eager))
    for said, events in zip(texts, came, strict=True):
        assert [event.text for event in events] == [*said, ""]
        assert [isinstance(event, Finished) for event in events] == [False] * len(said) + [True]


async def take_all(events):
    async for _ in events:
        pass


@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_one_that_fails_ends_all(failing):
    worker = FakeWorker()
    with ChoiceEvents(worker, jobs(3)) as events:
        worker.submitted[(failing + 1) % 3].finish("done", 1)
        worker.submitted[failing].fail(QueueFullError("full"))
        with pytest.raises(QueueFullError):
            await take_all(events)
    assert [request.aborted.is_set() for request in worker.submitted] == [number not in (failing, (failing + 1) % 3) for number in range(3)]


async def test_leaving_before_the_end_ends_those_that_are_not_over():
    worker = FakeWorker()
    with ChoiceEvents(worker, jobs(3)) as events:
        worker.submitted[1].finish("done", 1)
        assert (await anext(events)).choice == 1
    assert [request.aborted.is_set() for request in worker.submitted] == [True, False, True]


async def test_one_choice_that_nobody_takes_cuts_its_request_off():
    worker, told = FakeWorker(), []
    with ChoiceEvents(worker, jobs(2), on_overflow=lambda: told.append("cut")) as events:
        for _ in range(STREAM_EVENTS + 1):
            worker.submitted[1].delta("x")
        with pytest.raises(SlowClientError):
            await take_all(events)
    assert told == ["cut"]
    assert all(request.aborted.is_set() for request in worker.submitted)


def test_jobs_of_one_choice_keep_their_id_and_of_several_are_numbered():
    assert [(job.id, job.behind, job.parent) for job in jobs(1).all] == [("r", 0, None)]
    assert [(job.id, job.behind, job.parent) for job in jobs(3).all] == [("r-0", 2, "r"), ("r-1", 1, "r"), ("r-2", 0, "r")]


def test_seeds_differ_but_the_first_is_the_one_that_was_asked_for():
    seeds = [job.sampling.seed for job in jobs(128, seed=-7).all]
    assert seeds[0] == -7
    assert len(set(seeds)) == 128
    assert seeds == [job.sampling.seed for job in jobs(128, seed=-7).all], "the same again"
    assert not set(seeds) & {job.sampling.seed for job in jobs(128, seed=-6).all}
    assert all(-(2**63) <= seed < 2**63 for seed in seeds)
    assert [job.sampling.seed for job in jobs(3).all] == [None] * 3


def test_prompts_in_a_list_have_the_seeds_they_would_have_alone():
    job = Generate(id="r", prompt=PROMPT, sampling=SamplingParams(seed=3), max_tokens=5)
    prompts = [TextPrompt(text=text) for text in "ab"]
    made = fanned_out(job, prompts, 2)
    alone = fanned_out(job, prompts[1:], 2)
    assert [job.prompt.text for job in made.all] == ["a", "a", "b", "b"]
    assert [job.sampling for job in made.all[2:]] == [job.sampling for job in alone.all]
    assert made.prompts == prompts
