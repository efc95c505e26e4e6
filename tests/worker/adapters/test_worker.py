"""A worker whose requests have adapters: names come, change and go while it runs."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from mlxd.adapter_terms import AdapterFormat, AdapterSpec, AdapterState
from mlxd.types import Ability, Limits
from mlxd.wire.events import Finished
from mlxd.wire.messages import Abort, AdapterChanged, AdapterRefused, Heartbeat, LoadAdapter, NeedsMemory, Ready, Reconfigure, UnloadAdapter
from tests.support.adapter_files import PEFT, write_mlx_lm, write_peft
from tests.worker.worker_link import LIMITS, generate, in_thread

PAGED = {"mode": "continuous", "cache_kind": "paged", "block_size": 4}
MANY = 2**24  # bytes


@pytest.fixture(scope="module")
def sources(tiny, tmp_path_factory):
    """Adapters of the tiny model, by name."""
    directory = tmp_path_factory.mktemp("adapters")
    layers = {f"model.layers.{layer}.self_attn.{name}_proj": (64, 64) for layer in range(2) for name in ("q", "o")}
    write_mlx_lm(directory / "a", layers, seed=1)
    write_peft(directory / "b", layers, rank=6, seed=2)
    write_peft(directory / "large", layers, rank=48, seed=3)
    write_mlx_lm(directory / "other", dict.fromkeys(layers, (32, 64)))
    return {one.name: str(one) for one in directory.iterdir()}


def specs(sources, *names, **changed):
    return tuple(AdapterSpec(name=name, source=(sources | changed)[name]) for name in (*names, *changed))


def limits(adapters, adapter_bytes=MANY):
    return Limits(**(LIMITS | {"adapters": adapters, "adapter_bytes": adapter_bytes}))


def figures(link):
    return {one.name: one for one in link.of(Heartbeat)[-1].adapters}


def job(name, adapter, prompt="Say something", **options):
    return msgspec.structs.replace(generate(name, prompt, **options), adapter=adapter)


async def ask(link, name, adapter, prompt="Say something", **options):
    """Its text, how many tokens were cached, and what was wrong."""
    link.send(job(name, adapter, prompt, **options))
    last = await link.ended(name)
    return (link.text(name), last.usage.cached_tokens, None) if isinstance(last, Finished) else ("", 0, last.error)


async def answer(link, question):
    link.send(question)
    await link.until(lambda: any(one.id == question.id for one in (*link.of(AdapterChanged), *link.of(AdapterRefused))))
    return next(one for one in (*link.of(AdapterChanged), *link.of(AdapterRefused)) if one.id == question.id)


async def test_requests_name_adapters_and_the_cache_knows_them_apart(tiny, sources):
    async with in_thread() as link:
        ready = await link.load(tiny, adapters=specs(sources, "a", "b"), adapter_bytes=MANY, **PAGED)
        assert isinstance(ready, Ready)
        assert Ability.ADAPTERS in ready.abilities
        assert link.of(NeedsMemory)[0].adapters == MANY
        assert {name: one.state for name, one in figures(link).items()} == dict.fromkeys("ab", AdapterState.UNLOADED)
        first = {name: await ask(link, f"first {name}", name) for name in ("", "a", "b")}
        again = {name: await ask(link, f"again {name}", name) for name in ("", "a", "b")}
        assert len({text for text, _, _ in first.values()}) == 3
        assert [cached for _, cached, _ in first.values()] == [0, 0, 0], "a hit across adapters"
        assert all(cached for _, cached, _ in again.values())
        assert {name: text for name, (text, _, _) in again.items()} == {name: text for name, (text, _, _) in first.items()}
        await link.next(Heartbeat)
        told = figures(link)["b"]
        assert (told.state, told.format, told.rank, told.layers) == (AdapterState.LOADED, AdapterFormat.PEFT, 6, 4)
        assert told.scale == pytest.approx(8 / 6)
        assert told.bytes == 4 * 2 * 4 * 6 * (64 + 64)  # layers, places, bytes of a number, numbers
        assert link.of(Heartbeat)[-1].memory.adapters > told.bytes


async def test_what_is_wrong_with_one_is_wrong_with_no_other(tiny, sources, tmp_path):
    bad = specs(sources, "a", "other", missing=str(tmp_path / "nowhere"))
    async with in_thread() as link:
        await link.load(tiny, adapters=bad, adapter_bytes=MANY, **PAGED)
        for name, said in (("other", "is of another model"), ("missing", "does not exist")):
            _, _, error = await ask(link, name, name)
            assert (error.code, said in error.message) == ("adapter_failed", True), error
        _, _, error = await ask(link, "unknown", "unknown")
        assert error.code == "adapter_not_found"
        assert (await ask(link, "good", "a"))[2] is None
        await link.next(Heartbeat)
        assert {name: one.state for name, one in figures(link).items()} == {
            "a": AdapterState.LOADED,
            "other": AdapterState.FAILED,
            "missing": AdapterState.FAILED,
        }
        assert "q_proj" in figures(link)["other"].reason or "o_proj" in figures(link)["other"].reason


async def test_names_that_are_no_text_are_told_all_the_same(tiny, sources, tmp_path):
    """JSON can spell half of a surrogate pair, which no message can hold."""
    source = write_peft(tmp_path / "half", {"model.layers.0.self_attn.q_proj": (64, 64)}, target_modules=["q_proj", "\ud800"])
    data = (source / PEFT).read_bytes()
    worse = write_peft(tmp_path / "worse", {"model.layers.0.self_attn.q_proj": (64, 64)}, bias="\ud800")
    (tmp_path / "worst").mkdir()
    for file in source.iterdir():
        (tmp_path / "worst" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "worst" / PEFT).write_bytes(data.replace(b"layers.0.", b"\\ud800.0."))
    async with in_thread() as link:
        adapters = specs(sources, "a", half=str(source), worse=str(worse), worst=str(tmp_path / "worst"))
        await link.load(tiny, adapters=adapters, adapter_bytes=MANY, **PAGED)
        assert (await ask(link, "1", "half"))[2] is None
        for name in ("worse", "worst"):
            refused = await answer(link, LoadAdapter(id=name, name=name))
            assert "\\ud800" in refused.error.message
        await link.next(Heartbeat)
        assert "\\ud800" in figures(link)["worst"].reason
        assert (await ask(link, "2", "a"))[2] is None


async def test_a_name_may_be_given_to_another_while_it_answers(tiny, sources):
    """Who has begun ends with what it began with; who comes then has the other; nobody else sees anything of it."""
    async with in_thread() as link:
        await link.load(tiny, adapters=specs(sources, x=sources["a"]), adapter_bytes=MANY, **PAGED)
        alone = {name: await ask(link, f"{name} alone", name, max_tokens=64) for name in ("", "x")}
        link.send(job("running", "x", max_tokens=64), job("beside", "", max_tokens=64))
        await link.first_token("running")
        link.send(Reconfigure(limits=limits(specs(sources, x=sources["b"]))), job("next", "x", max_tokens=64))
        for name in ("running", "beside", "next"):
            assert isinstance(await link.ended(name), Finished)
        assert link.text("running") == alone["x"][0]
        assert link.text("beside") == alone[""][0]
        assert link.text("next") not in {alone["x"][0], alone[""][0]}
        link.send(Reconfigure(limits=limits(())))
        _, _, error = await ask(link, "gone", "x")
        assert error.code == "adapter_not_found"
        await link.until(lambda: link.of(Heartbeat)[-1].memory.adapters == 0)


async def test_operators_load_and_unload(tiny, sources):
    async with in_thread() as link:
        await link.load(tiny, adapters=specs(sources, "a", "other", "large"), adapter_bytes=100_000, **PAGED)
        loaded = await answer(link, LoadAdapter(id="1", name="a"))
        assert loaded.figures.state is AdapterState.LOADED
        assert figures(link)["a"].state is AdapterState.LOADED, "figures come before the answer"
        unloaded = await answer(link, UnloadAdapter(id="2", name="a"))
        assert unloaded.figures.state is AdapterState.UNLOADED
        refused = [await answer(link, LoadAdapter(id=name, name=name)) for name in ("other", "large", "unknown")]
        assert [one.error.code for one in refused] == ["adapter_source", "adapter_failed", "adapter_not_found"]
        assert "adapter_memory is" in refused[1].error.message
        await link.next(Heartbeat)
        assert (figures(link)["large"].state, link.of(Heartbeat)[-1].memory.adapters) == (AdapterState.FAILED, 0)
        assert (await ask(link, "again", "a"))[2] is None


async def test_one_that_is_too_large_has_failed_until_there_is_room(tiny, sources):
    async with in_thread() as link:
        few, many = (limits(specs(sources, "a", "large"), size) for size in (100_000, MANY))
        await link.load(tiny, adapters=few.adapters, adapter_bytes=100_000, **PAGED)
        for name, adapter in (("1", "large"), ("2", "a")):
            await ask(link, name, adapter)
        await link.next(Heartbeat)
        assert (figures(link)["large"].state, figures(link)["a"].state) == (AdapterState.FAILED, AdapterState.LOADED)
        assert "adapter_memory is" in figures(link)["large"].reason
        await answer(link, LoadAdapter(id="3", name="large"))
        link.send(Reconfigure(limits=many))
        assert (await ask(link, "4", "large"))[2] is None
        unloaded = await answer(link, UnloadAdapter(id="5", name="large"))
        assert (unloaded.figures.state, unloaded.figures.reason) == (AdapterState.UNLOADED, "")


async def test_files_that_changed_are_another_adapter_once_it_is_loaded_anew(tiny, sources, tmp_path):
    layers = {"model.layers.0.self_attn.q_proj": (64, 64)}
    source = write_mlx_lm(tmp_path / "edited", layers, seed=5)
    async with in_thread() as link:
        await link.load(tiny, adapters=specs(sources, edited=str(source)), adapter_bytes=MANY, **PAGED)
        before = await ask(link, "before", "edited")
        write_mlx_lm(source, layers, seed=6)
        assert (await ask(link, "same", "edited"))[0] == before[0]
        assert isinstance(await answer(link, LoadAdapter(id="1", name="edited")), AdapterChanged)
        text, cached, _ = await ask(link, "after", "edited")
        assert (text == before[0], cached) == (False, 0)
        await answer(link, UnloadAdapter(id="2", name="edited"))
        write_mlx_lm(source, layers, seed=5)
        assert (await ask(link, "back", "edited"))[0] == before[0], "one that is to be read again is looked at again"


async def test_who_waits_for_an_adapter_can_go_and_holds_up_nobody(tiny, sources, monkeypatch):
    asked, may = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def fetch(source, *, anew):
        loop.call_soon_threadsafe(asked.set)
        asyncio.run_coroutine_threadsafe(may.wait(), loop).result()
        return Path(source)

    monkeypatch.setattr("mlxd.worker.served.fetch_adapter", fetch)
    async with in_thread() as link:
        await link.load(tiny, adapters=specs(sources, "a"), adapter_bytes=MANY, **PAGED)
        link.send(job("waiting", "a"), job("leaving", "a"))
        await asked.wait()
        assert (await ask(link, "base", ""))[2] is None
        link.send(Abort(id="leaving"))
        await link.until(lambda: link.of(Heartbeat)[-1].waiting == 1)
        assert (figures(link)["a"].state, figures(link)["a"].requests) == (AdapterState.LOADING, 2), (
            "who has left finds out when it is known"
        )
        may.set()
        assert isinstance(await link.ended("waiting"), Finished)
        assert link.events["leaving"] == []


async def test_while_one_is_looked_at_again_requests_have_what_is_known(tiny, sources, monkeypatch):
    may = asyncio.Event()
    may.set()
    loop = asyncio.get_running_loop()

    def fetch(source, *, anew):
        if anew:
            asyncio.run_coroutine_threadsafe(may.wait(), loop).result()
        return Path(source)

    monkeypatch.setattr("mlxd.worker.served.fetch_adapter", fetch)
    async with in_thread() as link:
        await link.load(tiny, adapters=specs(sources, "a"), adapter_bytes=MANY, **PAGED)
        first = await ask(link, "first", "a")
        may.clear()
        link.send(LoadAdapter(id="again", name="a"))
        assert (await ask(link, "meanwhile", "a"))[0] == first[0]
        assert not link.of(AdapterChanged)
        may.set()
        await link.until(lambda: link.of(AdapterChanged))


@pytest.mark.parametrize("mode", [{}, {"mode": "continuous", "cache_kind": "entries"}])
@pytest.mark.usefixtures("proved_once")
async def test_other_runners_refuse_them_by_name(tiny, sources, mode):
    async with in_thread() as link:
        ready = await link.load(tiny, adapters=specs(sources, "a"), adapter_bytes=MANY, **mode)
        assert Ability.ADAPTERS not in ready.abilities
        _, _, error = await ask(link, "refused", "a")
        assert error.code == "unsupported_parameter"
        assert "paged cache only" in error.message
        refused = await answer(link, LoadAdapter(id="1", name="a"))
        assert refused.error.code == "unsupported_parameter"
        assert figures(link)["a"].state is AdapterState.FAILED
