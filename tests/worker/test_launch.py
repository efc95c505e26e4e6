"""A step that is launched when the one before it is done writes in place, and says the same."""

import mlx.core as mx
import pytest

from mlxd.worker.runtime.paged.launch import Launch, fastest_launch
from tests.worker.runner_rig import PagedRig, alone, architecture, words


@pytest.fixture(scope="module")
def loaded():
    return architecture("llama")


def test_answers_are_those_of_the_plain_model(loaded):
    rig = PagedRig(loaded, ahead=True, launch=Launch.WHEN_DONE)
    prompts = {"long": words(1, 61), "short": words(3, 5), "other": words(4, 30)}
    for step, (name, prompt) in enumerate(prompts.items()):
        rig.add(name, prompt, max_tokens=16)
        for _ in range(2 * step):
            rig.step()
    rig.run()
    assert rig.tokens == alone(loaded, prompts, 16, said=rig.tokens)


def test_no_arena_is_copied_though_steps_are_built_ahead(loaded):
    rig = PagedRig(loaded, ahead=True, launch=Launch.WHEN_DONE, arena_blocks=2**15, max_arenas=1, spare=2**17)
    rig.check = lambda: None  # of so many blocks it takes long
    rig.add("only", words(1, 20), max_tokens=24)
    for _ in range(6):
        rig.step()
    arena = rig.model.nbytes // (2 * len(rig.model.layers))
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    rig.run()
    assert mx.get_peak_memory() - before < arena / 8


@pytest.mark.parametrize("name", ["llama", "falcon_h1"])
def test_what_is_fastest_is_measured_and_leaves_nothing_behind(name):
    rig = PagedRig(architecture(name))
    assert fastest_launch(rig.model) in Launch
    assert rig.model.nbytes == 0
    prompt = words(2, 9)
    assert rig.ask(prompt)[0] == rig.ask(prompt)[0]


def test_a_device_that_cannot_tell_launches_at_once(loaded, monkeypatch):
    rig = PagedRig(loaded)

    def fails(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(rig.model, "forward", fails)
    assert fastest_launch(rig.model) is Launch.AT_ONCE
