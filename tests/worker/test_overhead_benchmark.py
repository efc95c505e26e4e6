"""The benchmark of a step's own cost drives the engine with a device of its own, which has all that an executor needs."""

from benchmarks.engine.overhead import BLOCK_SIZE, PARTS, Rig
from mlxd.worker.runtime.loading import load
from mlxd.worker.runtime.paged.build import proved_model
from mlxd.worker.runtime.paged.slots import Geometry
from tests.support.tiny_model import make_tiny_model


def test_each_part_of_a_step_is_measured(tmp_path):
    directory = make_tiny_model(tmp_path / "model", max_position_embeddings=4096)
    loaded = load(directory, dtype="auto", context_limit=None)
    model = proved_model(loaded, BLOCK_SIZE)
    model.resize(Geometry(BLOCK_SIZE, 100))
    rig = Rig(2, loaded, model)
    assert min(rig.measure(3)[part] for part in PARTS) > 0
