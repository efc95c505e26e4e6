"""A real worker process on a socketpair: how it begins, and how it ends."""

import asyncio
import json
import os
import signal

import psutil
import pytest

from mlxd import __version__
from mlxd.types import MemoryFigures
from mlxd.wire.events import Finished, Started
from mlxd.wire.messages import CacheEvicted, EvictCache, Heartbeat, Hello, LoadFailed, NeedsMemory, Proceed, Progress, Ready, Stop
from tests.support.tiny_model import make_tiny_model
from tests.worker.worker_link import PATIENCE, generate, in_new_process, in_process, in_thread, load_message, text


async def exit_code(process):
    return await asyncio.wait_for(process.wait(), PATIENCE)


async def test_a_life_from_hello_to_stop(scripted):
    async with in_new_process() as (link, process):
        await link.until(lambda: link.messages)
        assert link.messages[0] == Hello(pid=process.pid, version=__version__)
        ready = await link.load(scripted)
        assert isinstance(ready, Ready)
        assert (ready.runner, ready.device) == ("simple", ready.device)
        assert {"mlx", "mlx_lm"} <= set(ready.versions)
        stages = [message.stage for message in link.of(Progress)]
        assert stages[-2:] == ["loading", "warming"]
        assert isinstance(await link.ask("a", "hi", max_tokens=None), Finished)
        link.send(Stop())
        _, errors = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0
        assert errors.decode() == "", "libraries are not to be chatty"


async def test_end_of_file_while_idle(tiny):
    async with in_process() as (link, process):
        await link.load(tiny)
        await link.close()
        assert await exit_code(process) == 0


async def test_end_of_file_before_a_load():
    async with in_process() as (link, process):
        await link.until(lambda: link.of(Hello))
        await link.close()
        assert await exit_code(process) == 0


async def test_end_of_file_deep_in_work_leaves_nothing(slow):
    async with in_process() as (link, process):
        await link.load(slow)
        link.send(generate("a", [3] * 16000), generate("b", text("x" * 16_000_000)))
        await link.started("a")
        await link.close()
        assert await asyncio.wait_for(process.wait(), 30) == 0  # far less than the work that is left


async def test_a_terminals_interrupt_is_the_daemons_business(tiny):
    async with in_process() as (link, process):
        await link.load(tiny)
        os.kill(process.pid, signal.SIGINT)
        assert isinstance(await link.ask("a", "hi"), Finished)
        os.kill(process.pid, signal.SIGTERM)
        assert await exit_code(process) == -signal.SIGTERM


async def test_garbage_ends_the_process():
    async with in_process() as (link, process):
        await link.until(lambda: link.of(Hello))
        link._writer.write(b"\x00\x00\x00\x03abc")
        assert await exit_code(process) not in {0, -signal.SIGKILL}


def damaged(directory, damage):
    model = make_tiny_model(directory)
    damage(model)
    return model


def cut_weights(model):
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


def unknown_architecture(model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"model_type": "no_such_thing"}))


def missing_tokenizer(model):
    (model / "tokenizer.json").unlink()


@pytest.mark.parametrize(
    ("damage", "named"),
    [(cut_weights, "model.safetensors"), (unknown_architecture, "no_such_thing"), (missing_tokenizer, "tokenizer")],
)
async def test_a_damaged_model_is_a_typed_error_and_the_end(tmp_path, damage, named):
    async with in_process() as (link, process):
        answer = await link.load(damaged(tmp_path / "model", damage))
        assert isinstance(answer, LoadFailed)
        assert answer.error.code == "model_source"
        assert named in answer.error.message
        assert await exit_code(process) == 1


async def test_the_heart_beats_while_the_model_loads_and_while_it_computes(slow):
    async with in_process() as (link, _process):
        await link.load(slow, heartbeat_interval=0.02)
        loading = [message for message in link.messages[: link.messages.index(link.of(Ready)[0])] if isinstance(message, Heartbeat)]
        assert len(loading) > 1  # the last one is of the model that is ready
        assert all(
            beat.busy_seconds == 0 and beat.memory == MemoryFigures(rss=beat.memory.rss, footprint=beat.memory.footprint)
            for beat in loading[:-1]
        )
        assert loading[-1].memory.weights > 0
        link.send(generate("a", [3] * 4000, max_tokens=1))
        await link.started("a")
        await link.next(Heartbeat)
        assert (await link.next(Heartbeat)).running == 1


async def test_nothing_is_loaded_before_memory_is_granted(tiny):
    async with in_process() as (link, _process):
        link.permits = False
        link.send(load_message(tiny, cache_bytes=2**20))
        needs = await link.next(NeedsMemory)
        assert needs.weights > 0
        assert needs.cache == 2**20
        assert needs.transients > 0
        assert (await link.next(Heartbeat)).memory.weights == 0
        assert (await link.next(Heartbeat)).memory.weights == 0
        assert not link.of(Ready)
        link.send(Proceed())
        await link.until(lambda: link.of(Ready))
        assert link.of(Ready)[0].weight_bytes == needs.weights


async def test_the_cache_is_dropped_on_request(tiny):
    async with in_process() as (link, _process):
        await link.load(tiny)
        await link.ask("a", [3] * 40)
        link.send(EvictCache())
        dropped = await link.next(CacheEvicted)
        assert dropped.entries > 0
        assert dropped.bytes > 0
        await link.ask("b", [3] * 40)
        assert next(event for event in link.events["b"] if isinstance(event, Started)).cached_tokens == 0
        link.send(EvictCache(), EvictCache())
        await link.until(lambda: len(link.of(CacheEvicted)) == 3)
        assert (link.of(CacheEvicted)[2].entries, link.of(CacheEvicted)[2].bytes) == (0, 0)


async def test_nothing_is_left_running_when_the_daemon_goes_while_a_model_is_fetched(tmp_path):
    """The fetch of the built-in model runs pip; with no index at all it waits for this one, which never answers."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    index = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/simple"
    environment = {**os.environ, "MLXD_HOME": str(tmp_path), "PIP_INDEX_URL": index, "PIP_CONFIG_FILE": os.devnull, "PIP_NO_CACHE_DIR": "1"}
    async with server, in_new_process(env=environment) as (link, process):
        link.send(load_message("builtin:smollm2-135m"))
        worker = psutil.Process(process.pid)
        async with asyncio.timeout(PATIENCE):
            while not (children := worker.children(recursive=True)):
                await link.next(Heartbeat)
        await link.close()
        assert await exit_code(process) == 0
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, 10)
        assert not alive


async def test_in_a_thread_it_leaves_signals_and_the_process_alone(tiny):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    async with in_thread() as link:
        await link.load(tiny)
        await link.ask("a", "hi")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
