"""What mlx-vlm's converter makes of a model, which is how most of those for MLX are published, sees as the model does."""

import json
import shutil
from contextlib import redirect_stdout
from io import StringIO

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_vlm.convert import convert
from tokenizers import Tokenizer

from mlxd.media_terms import Media, MediaKind
from mlxd.worker.runtime.vision.loading import load_seeing_model
from mlxd.worker.runtime.vision.processing import open_processor
from tests.support.vision_references import PICTURES, architectures, checkpoint


@pytest.fixture(scope="module", params=architectures())
def pair(request, tmp_path_factory):
    """The directories of a model, and of what the converter makes of it."""
    converted = tmp_path_factory.mktemp("converted") / request.param
    with redirect_stdout(StringIO()):
        convert(str(checkpoint(request.param)), str(converted), dtype="float32")
    return checkpoint(request.param), converted


def loaded(directory):
    return load_seeing_model(directory, json.loads((directory / "config.json").read_text())).model


def test_the_model_is_the_same(pair):
    models = [loaded(directory) for directory in pair]
    first, second = (dict(tree_flatten(model.parameters())) for model in models)
    assert first.keys() == second.keys()
    assert [name for name in first if not mx.array_equal(first[name], second[name])] == []
    assert models[0].config == models[1].config


def seen(directory):
    vocabulary = Tokenizer.from_file(str(directory / "tokenizer.json")).get_vocab()
    processor = open_processor(directory, vocabulary, 4096)
    names = ("red", "small", "wide", "tall")
    media = [Media(kind=MediaKind.IMAGE, files=[(PICTURES / f"{name}.png").read_bytes()], at=0) for name in names]
    frames = [(PICTURES / "red.png").read_bytes()] * 4
    films = [Media(kind=MediaKind.VIDEO, files=frames, at=0, fps=2.0)] if MediaKind.VIDEO in processor.placeholders else []
    return [processor.process(one) for one in (*media, *films)]


def test_what_it_is_shown_is_the_same(pair):
    before, after = (seen(directory) for directory in pair)
    assert after == before


@pytest.mark.parametrize("architecture", architectures())
def test_what_the_processors_file_leaves_out_is_the_models(architecture, tmp_path):
    """Checkpoints of older releases have no such file, or say less in it."""
    shutil.copytree(checkpoint(architecture), tmp_path / "model")
    (tmp_path / "model" / "processor_config.json").unlink(missing_ok=True)
    assert seen(tmp_path / "model") == seen(checkpoint(architecture))
