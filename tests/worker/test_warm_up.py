"""What a model generates before it is ready: with every penalty, filter and bias, on every runner."""

import pytest

from mlxd.wire.messages import LoadFailed, Ready
from mlxd.worker.runtime.sampling import sampler
from mlxd.worker.runtime.sampling.penalties import Penalties
from tests.worker.worker_link import MODES, in_thread


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("method", ["apply", "add"])
async def test_a_penalty_that_cannot_be_applied_is_found_at_load(tiny, monkeypatch, mode, method):
    def fail(*_):
        raise ValueError("[broadcast_shapes] (1,259) and (1,300)")

    monkeypatch.setattr(Penalties, method, fail)
    async with in_thread() as link:
        failed = await link.load(tiny, **MODES[mode])
    assert isinstance(failed, LoadFailed)
    assert failed.error.message.startswith(f"{tiny} was loaded but cannot generate: ")
    assert "[broadcast_shapes]" in failed.error.message


@pytest.mark.parametrize("mode", MODES)
async def test_every_filter_is_used(tiny, monkeypatch, mode):
    seen = set()
    draw = sampler._draw

    def drawn(logits, rows, keys):
        seen.update((row.top_k, row.top_p, row.min_p) for row in rows)
        return draw(logits, rows, keys)

    monkeypatch.setattr(sampler, "_draw", drawn)
    async with in_thread() as link:
        ready = await link.load(tiny, **MODES[mode])
    assert isinstance(ready, Ready)
    assert {tuple(value not in {0, 1} for value in values) for values in seen} == {(True, True, True)}


async def test_a_tokenizer_that_panics_ends_its_request_only(tiny, monkeypatch):
    """Panics of a library in Rust are no ``Exception``."""

    class PanicException(BaseException):
        pass

    def panic(*_):
        raise PanicException("index out of bounds")

    async with in_thread() as link:
        await link.load(tiny)
        with monkeypatch.context() as patch:
            patch.setattr("mlxd.worker.text.prompt.PromptEncoder.encode", panic)
            failed = await link.ask("panics", "hi")
        assert (failed.error.code, "index out of bounds" in failed.error.message) == ("generation_failed", True)
        assert (await link.ask("goes on", "hi", max_tokens=1)).usage.completion_tokens == 1
