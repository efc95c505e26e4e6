"""What is reserved to compute texts in covers what computing them takes."""

from pathlib import Path

import pytest

from mlxd.types import Task
from mlxd.worker.encoded_input import EncodedInput
from mlxd.worker.engine.encoding.shape import BatchShape
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.runtime.device import mx
from mlxd.worker.runtime.encoding.loading import open_encoder, read_encoder
from mlxd.worker.runtime.encoding.workspace import BESIDE, SIZE, workspace_of
from tests.support.tiny_encoder import BERT, make_tiny_embedder


@pytest.mark.parametrize("shape", [(40, 100), (4, 1000), (1, 2000)])
def test_a_batch_takes_no_more_than_its_estimate(shape, tmp_path):
    """Of a model with rows wide enough to be most of what there is."""
    source = make_tiny_embedder(tmp_path / "m", hidden_size=256, intermediate_size=1024, max_position_embeddings=2048, pooling_width=256)
    loaded = read_encoder(open_encoder(DirectoryFacts.read(source), Task.EMBED, dtype="auto", context_limit=None))
    rows, length = shape
    workspace = workspace_of(JsonDocument(Path(), BERT | {"hidden_size": 256, "intermediate_size": 1024}), 2048, "float32")
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(loaded.vectors([EncodedInput([1] * length)] * rows))
    took = mx.get_peak_memory() - before
    assert took < workspace.bytes(BatchShape(rows, length)) + BESIDE


def test_one_text_of_any_length_fits():
    config = JsonDocument(Path(), BERT | {"hidden_size": 1024, "intermediate_size": 4096})
    assert workspace_of(config, 512, "float32").size == SIZE
    long = workspace_of(config, 32_768, "bfloat16")
    assert long.holds(BatchShape(1, 32_768))
    assert long.size == long.bytes(BatchShape(1, 32_768))
