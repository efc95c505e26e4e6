"""A worker with a real model that keeps the beginning of prompts: there at the first request, after an eviction, and as limits change."""

import msgspec

from mlxd.cache_terms import CacheQuota, PinnedPrompt, PinState
from mlxd.types import ChatMessage, Limits
from mlxd.wire.events import Finished
from mlxd.wire.messages import CacheEvicted, EvictCache, Heartbeat, Ready, Reconfigure, Reconfigured
from mlxd.wire.prompts import ChatPrompt
from tests.worker.worker_link import LIMITS, generate, in_thread

PAGED = {"mode": "continuous", "cache_kind": "paged", "block_size": 4}
TEXT = "You help people who ask about lamps and shades."
PIN = PinnedPrompt(name="support", text=TEXT)


def limits(*pins, **changes):
    return Limits(**(LIMITS | {"pins": pins} | changes))


def figures(link):
    return link.of(Heartbeat)[-1].cache


async def ask(link, question, holder=""):
    prompt = ChatPrompt(messages=[ChatMessage(role="system", content=TEXT), ChatMessage(role="user", content=question)])
    name = f"{holder} {question}"
    link.send(msgspec.structs.replace(generate(name, prompt), holder=holder))
    await link.until(lambda: any(isinstance(event, Finished) for event in link.events[name]))
    (finished,) = [event for event in link.events[name] if isinstance(event, Finished)]
    return finished.text, finished.usage.cached_tokens


async def kept(link):
    await link.until(lambda: [pin.state for pin in figures(link).pins] == [PinState.KEPT])


async def test_it_is_there_from_the_beginning_and_answers_are_what_they_would_be(tiny):
    async with in_thread() as link:
        await link.load(tiny, **PAGED)
        plain, _ = await ask(link, "Hi there")
    async with in_thread() as link:
        assert isinstance(await link.load(tiny, pins=(PIN,), **PAGED), Ready)
        assert [pin.name for pin in figures(link).pins] == ["support"], "what is ready says what it keeps, or will"
        await kept(link)
        tokens = figures(link).pins[0].tokens
        assert await ask(link, "Hi there") == (plain, tokens)
        link.send(EvictCache())
        await link.until(lambda: link.of(CacheEvicted))
        assert (await ask(link, "What else"))[1] == tokens
        assert figures(link).bytes_pinned == figures(link).pins[0].bytes > 0


async def test_pins_and_quotas_come_and_go_while_it_runs(tiny):
    async with in_thread() as link:
        await link.load(tiny, **PAGED)
        quotas = (CacheQuota(holder="agents", fraction=0.25),)
        link.send(Reconfigure(limits=limits(PIN, quotas=quotas)))
        await kept(link)
        await ask(link, "Hi there", holder="agents")
        await link.until(lambda: figures(link).keys["agents"].held > 0)
        assert 0 < figures(link).keys["agents"].quota < figures(link).limit_bytes / 3
        link.send(Reconfigure(limits=limits()))
        await link.until(lambda: len(link.of(Reconfigured)) == 2)
        assert figures(link).pins == ()
        assert figures(link).bytes_pinned == 0
        assert figures(link).keys["agents"].quota is None


async def test_what_cannot_be_kept_is_told_with_the_answer(tiny):
    async with in_thread() as link:
        await link.load(tiny, **PAGED)
        link.send(Reconfigure(limits=limits(PinnedPrompt(name="short", text="a", form="text"))))
        await link.until(lambda: link.of(Reconfigured))
        (refused,) = figures(link).pins
        assert (refused.name, refused.state) == ("short", PinState.REFUSED)
        assert "whole blocks of 4" in refused.reason


async def test_a_cache_that_is_not_paged_keeps_none_and_says_so(tiny):
    async with in_thread() as link:
        await link.load(tiny, pins=(PIN,))
        assert [(pin.state, pin.reason) for pin in figures(link).pins] == [
            (PinState.REFUSED, "the model's cache is not paged: `runner` says why")
        ]
