"""Pictures with what else a model may be computed by: compiled steps, drafts, half precision, quantized weights, 8-bit keys."""

import json
import shutil
from dataclasses import replace

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_vlm.models import llava as package
from mlx_vlm.utils import update_module_configs

from mlxd.types import Ability, ChatMessage
from mlxd.wire.messages import NeedsMemory
from mlxd.wire.prompts import ChatPrompt
from mlxd.worker.runtime.loading import load
from mlxd.worker.runtime.paged import build
from mlxd.worker.runtime.paged.build import prove_model
from mlxd.worker.runtime.paged.launch import Launch
from mlxd.worker.runtime.vision.choice import choose_sight
from mlxd.worker.runtime.vision.seeing_model import SeeingModel
from tests.support.seeing_rig import LIMITS, SeeingRig
from tests.support.seen_prompts import case_names, loaded_model, seen_prompt
from tests.support.vision_conversations import prompt_of
from tests.support.vision_references import architectures, checkpoint, references
from tests.worker.worker_link import in_thread

ROTATING = "qwen2_5_vl"  # whose positions are further on behind a picture than its tokens are many, or less far


def answered(rig, cases=None):
    """Everything at once; whether each said what the reference says."""
    cases = cases or case_names(rig.architecture)
    for case in cases:
        rig.see(case)
        rig.step()
    rig.run()
    assert rig.failed == {}
    return {case: rig.is_right(case, case) for case in cases} == dict.fromkeys(cases, True)


@pytest.mark.parametrize("architecture", [ROTATING, "gemma3", "pixtral"])
def test_by_gathering(architecture):
    rig = SeeingRig(architecture, attention="gather")
    assert rig.choice.runner._executor._model.ways.regions.usual == "gather"
    assert answered(rig)


@pytest.mark.parametrize(("architecture", "launch"), [("gemma3", Launch.AT_ONCE), ("qwen3_vl", Launch.WHEN_DONE)])
def test_as_on_a_gpu_one_step_ahead_by_its_kernels(architecture, launch, monkeypatch):
    """By the CPU's own of these functions."""
    monkeypatch.setattr(build, "fastest_launch", lambda _model: launch)
    rig = SeeingRig(architecture, replace(loaded_model(architecture), device="gpu"))
    assert rig.choice.runner._executor._ahead
    assert answered(rig, ["two_pictures", "late_picture", "words"])


@pytest.mark.usefixtures("traced")
def test_by_compiled_steps():
    rig = SeeingRig(ROTATING, attention="gather", compile="on", max_sequences=1)
    assert rig.choice.compilation.is_used, rig.choice.compilation.reason
    steps = rig.choice.runner._executor._model.compiled
    for case in ("picture", "slow_video"):
        rig.see(case)
    rig.run()
    assert [rig.is_right(case, case) for case in ("picture", "slow_video")] == [True, True]
    assert (steps.trouble, steps.traced > 0) == (None, True)


@pytest.mark.parametrize(("architecture", "dtype"), [*((name, "bfloat16") for name in architectures()), ("gemma3", "float16")])
def test_in_half_precision_pictures_are_proved(architecture, dtype):
    loaded = load(checkpoint(architecture), dtype=dtype, context_limit=None)
    found = choose_sight(loaded, prove_model(loaded, 8).model)
    assert Ability.IMAGES in found.abilities, found.told


def is_packed(path, module):
    return path.startswith("language_model") and hasattr(module, "to_quantized") and module.weight.shape[-1] % 32 == 0


CONVERTED = [*((name, True) for name in architectures()), *((name, False) for name in ("gemma3", "qwen3_vl", "smolvlm"))]


@pytest.mark.parametrize(("architecture", "is_quantized"), CONVERTED)
def test_a_checkpoint_as_mlx_vlm_s_converter_writes_it(architecture, is_quantized, tmp_path):
    """By its own names of weights. What does not divide by the group stays as it is."""
    plain = load(checkpoint(architecture), dtype="auto", context_limit=None)
    inner = plain.model.model
    directory = shutil.copytree(checkpoint(architecture), tmp_path / "model")
    if is_quantized:
        nn.quantize(inner, group_size=32, bits=8, class_predicate=is_packed)
        packing = {"group_size": 32, "bits": 8}
        config = json.loads((directory / "config.json").read_text()) | {"quantization": packing, "quantization_config": packing}
        (directory / "config.json").write_text(json.dumps(config))
    mx.save_safetensors(str(directory / "model.safetensors"), dict(tree_flatten(inner.parameters())), {"format": "mlx"})
    loaded = load(directory, dtype="auto", context_limit=None)
    assert (loaded.facts.library, loaded.facts.warnings) == ("mlx-vlm", [])
    tokens = mx.array([seen_prompt(architecture, "words").tokens])
    expected, found = (model(tokens, cache=make_prompt_cache(model)) for model in (plain.model, loaded.model))
    assert mx.allclose(expected, found, atol=1e-4)
    assert Ability.IMAGES in choose_sight(loaded, prove_model(loaded, 8).model).abilities


@pytest.mark.usefixtures("any_loss")
def test_with_keys_and_values_of_8_bits():
    """Of a model as wide as that takes, of random weights, which sees with the tower and the processor of a reference."""
    narrow = loaded_model("llava")
    config = json.loads((checkpoint("llava") / "config.json").read_text())
    config["text_config"] |= {"hidden_size": 128}
    settings = update_module_configs(package.ModelConfig.from_dict(config), package, config, ["text", "vision"])
    mx.random.seed(7)
    model = SeeingModel(package.Model(settings), narrow.model.architecture)
    mx.eval(model.parameters())
    rig = SeeingRig("llava", replace(narrow, model=model), kv_wish="int8")
    assert rig.choice.kv_type.startswith("int8")
    assert rig.choice.sight.abilities == {Ability.IMAGES}, rig.choice.sight.told
    rig.see("two_pictures", "alone")
    rig.run()
    for case in ("picture", "two_pictures", "words"):
        rig.see(case, f"{case} in company")
        rig.step()
    rig.run()
    assert rig.tokens["alone"] == rig.tokens["two_pictures in company"]


async def test_a_worker_serves_pictures_with_a_draft_model_and_says_what_it_is():
    """The draft model is the same one: it sees nothing, and guesses all the same."""
    directory = checkpoint(ROTATING)
    async with in_thread() as link:
        ready = await link.load(directory, draft=str(directory), **LIMITS)
        assert {Ability.IMAGES, Ability.VIDEOS} <= set(ready.abilities)
        assert (ready.facts.library, ready.facts.sight) == ("mlx-vlm", "pictures and films are served: logits of one were proved")
        assert ready.facts.warnings == []
        assert "mlx_vlm" in ready.versions
        for case in ("two_pictures", "picture_and_video", "words"):
            finished = await link.ask(case, prompt_of(references(ROTATING)[case]))
            known = references(ROTATING)[case]
            assert finished.usage.prompt_tokens == len(known.tokens)
            assert link.tokens(case) == len(known.greedy)


async def test_a_worker_without_sight_refuses_pictures_by_name():
    async with in_thread() as link:
        ready = await link.load(checkpoint("llava"), mode="simple")
        assert Ability.IMAGES not in ready.abilities
        assert ready.facts.sight.startswith("no pictures are served: ")
        failed = await link.ask("picture", prompt_of(references("llava")["picture"]))
        assert "picture" in failed.error.message
        said = ChatPrompt(messages=[ChatMessage(role="user", content="What is this?")])
        assert (await link.ask("words", said)).usage.completion_tokens > 0


async def test_memory_is_asked_for_the_tower_s_weights_and_what_it_computes_with():
    async with in_thread() as link:
        ready = await link.load(checkpoint("llava"), **LIMITS)
        (asked,) = link.of(NeedsMemory)
    assert asked.weights == ready.weight_bytes == sum(value.nbytes for _, value in tree_flatten(loaded_model("llava").model.parameters()))
    assert asked.transients > 2 * 128 * 2**20
