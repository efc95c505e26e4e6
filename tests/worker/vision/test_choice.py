"""What is said of a model's pictures when it is loaded, and that it serves text whatever is wrong with them."""

import json
import shutil
from dataclasses import replace

import pytest

from mlxd.errors import ModelSourceError
from mlxd.types import Ability
from mlxd.worker.runtime.choose import choose_runner
from mlxd.worker.runtime.loading import load
from mlxd.worker.runtime.paged.build import prove_model
from mlxd.worker.runtime.paged.manner import Manner
from mlxd.worker.runtime.vision import choice, library, processing
from mlxd.worker.runtime.vision.choice import choose_sight
from mlxd.worker.runtime.vision.processing import ModelProcessor
from mlxd.worker.runtime.vision.sight import Sight
from tests.support.seen_prompts import loaded_model
from tests.support.vision_references import architectures, checkpoint, references
from tests.support.wire_requests import resolved
from tests.worker.architecture_table import DOCUMENT
from tests.worker.runner_rig import RunnerRig
from tests.worker.vision.sight_table import documented_sights, told
from tests.worker.worker_link import load_message

SIGHTS = documented_sights(DOCUMENT.read_text(encoding="utf-8"))
FILMS = {"qwen2_vl", "qwen2_5_vl", "qwen3_vl"}


def model_of(loaded, manner=Manner.IN_PLACE):
    return prove_model(loaded, 8, [manner]).model


@pytest.mark.parametrize("architecture", architectures())
def test_pictures_of_every_architecture_are_proved(architecture):
    loaded = loaded_model(architecture)
    found = choose_sight(loaded, model_of(loaded))
    words = "pictures and films" if architecture in FILMS else "pictures"
    assert found.told == f"{words} are served: logits of one were proved"
    assert found.abilities == {Ability.IMAGES, *([Ability.VIDEOS] if architecture in FILMS else [])}
    assert SIGHTS.get(architecture, SIGHTS["llava"]) == told(found.abilities)  # there are variants of it
    assert found.encoder.nbytes == 0


def refusal(loaded, model):
    found = choose_sight(loaded, model)
    assert (found.encoder, found.processor, found.abilities) == (None, None, frozenset())
    assert found.told.startswith("no pictures are served: ")
    return found.told.removeprefix("no pictures are served: ")


def test_pictures_that_are_put_elsewhere_are_not_served(monkeypatch):
    loaded = loaded_model("llava")
    shown = Sight.shown

    def elsewhere(self, chunks, *, one_row):
        found = shown(self, chunks, one_row=one_row)
        return None if found is None else replace(found, rows=found.rows[::-1])

    monkeypatch.setattr(Sight, "shown", elsewhere)
    assert refusal(loaded, model_of(loaded)).startswith("the logits of one differ from mlx-vlm's own by ")


def test_a_tower_that_cannot_compute_is_told(monkeypatch):
    loaded = loaded_model("llava")
    monkeypatch.setattr(type(loaded.model.architecture), "encode", lambda *_: 1 / 0)
    assert refusal(loaded, model_of(loaded)) == "the logits of one could not be computed (ZeroDivisionError: division by zero)"


def test_a_picture_that_is_longer_than_a_window_shows_is_not_served():
    loaded = loaded_model("gemma3")
    model = model_of(loaded)
    for layer in model.layers:
        layer.window = 12 if layer.window else None
    assert refusal(loaded, model) == "one has 16 tokens that see each other, more than a window of 12 shows"


@pytest.mark.parametrize("manner", [Manner.COPIED, Manner.ALONE])
def test_a_model_that_is_not_computed_in_place_sees_nothing(manner):
    loaded = loaded_model("llava")
    assert refusal(loaded, model_of(loaded, manner)) == f"over the paged cache {manner.told}"


def test_without_a_template_that_shows_pictures_nobody_could_show_any():
    loaded = loaded_model("llava")
    assert refusal(replace(loaded, chat=None), model_of(loaded)) == "it has no chat template"


def test_a_processor_that_does_not_work_is_named(tmp_path):
    directory = copied("llava", tmp_path)
    (directory / "preprocessor_config.json").unlink()
    loaded = load(directory, dtype="auto", context_limit=None)
    assert refusal(loaded, model_of(loaded)).startswith("its processor of pictures cannot be used: ")


def test_a_processor_that_falls_over_its_files_is_told(monkeypatch):
    loaded = loaded_model("llava")
    monkeypatch.setattr(ModelProcessor, "process", lambda *_: 1 / 0)
    assert refusal(loaded, model_of(loaded)) == "a made-up one could not be shown (ZeroDivisionError: division by zero)"
    monkeypatch.setattr(processing, "open_processor", lambda *_: {}["size"])
    assert refusal(loaded, model_of(loaded)) == "KeyError: 'size'"


@pytest.mark.parametrize(
    ("limits", "runner"), [({"mode": "simple"}, "simple"), ({"mode": "continuous", "cache_kind": "entries"}, "contiguous")]
)
def test_other_runners_serve_its_text(limits, runner):
    order = load_message("org/tiny", **limits)
    found = choose_runner(order, resolved(order.limits), loaded_model("qwen2_vl"))
    assert found.name == runner
    rig = RunnerRig(found.runner)
    words = references("qwen2_vl")["words"]
    for name in ("first", "second"):
        rig.add(name, words.tokens, max_tokens=len(words.greedy), logit_bias={})
    rig.run()
    assert rig.tokens == {"first": words.greedy, "second": words.greedy}
    assert 'are over a paged cache only (batching.mode = "continuous")' in found.sight.told


def test_without_the_extra_a_model_that_mlx_lm_knows_too_is_one_of_text(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "find_spec", lambda name: None if name == "mlx_vlm" else name)
    loaded = load(copied("mistral3", tmp_path), dtype="auto", context_limit=None)
    assert (loaded.facts.library, loaded.facts.library_origin) == ("mlx-lm", "mlx_vlm cannot be imported")
    assert loaded.facts.warnings == [f"it sees no pictures, for mlx_vlm cannot be imported: {library.INSTALL}"]
    assert choose_sight(loaded, model_of(loaded)) == choice.BLIND


def test_a_model_that_mlx_vlm_cannot_load_and_mlx_lm_can_is_one_of_text(tmp_path):
    directory = copied("mistral3", tmp_path)
    config = json.loads((directory / "config.json").read_text())
    config["vision_config"]["hidden_size"] = 24  # which its weights are not for
    (directory / "config.json").write_text(json.dumps(config))
    loaded = load(directory, dtype="auto", context_limit=None)
    assert (loaded.facts.library, loaded.facts.library_origin) == ("mlx-lm", "mlx-vlm cannot load it")
    assert loaded.facts.warnings == [loaded.facts.sight]
    assert loaded.facts.sight.startswith("it sees no pictures, for mlx-vlm cannot load it (ValueError: ")


def test_one_that_neither_can_load_is_refused_as_mlx_vlm_said(tmp_path):
    directory = copied("idefics3", tmp_path)
    config = json.loads((directory / "config.json").read_text())
    config["vision_config"]["hidden_size"] = 24
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelSourceError, match=r"idefics3 cannot be loaded as an mlx-vlm model: ValueError: .*vision_model"):
        load(directory, dtype="auto", context_limit=None)


def copied(architecture, tmp_path):
    return shutil.copytree(checkpoint(architecture), tmp_path / architecture)
