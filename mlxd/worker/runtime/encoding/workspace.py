"""How much memory texts are computed in: an estimate by what the model's configuration says of its layers."""

from mlxd.worker.engine.encoding.shape import BatchShape
from mlxd.worker.engine.encoding.workspace import Workspace
from mlxd.worker.facts.json_document import JsonDocument

SIZE = 128 * 2**20  # bytes
BESIDE = 128 * 2**20  # bytes: scores of attention, and what MLX has begun and others wait for, whatever the batch
_HIDDEN = 10  # vectors of a token that are there at once: of the layer before, queries, keys, values, of the next one
_INTERMEDIATE = 6  # wide ones, of an activation whose parts are not fused


def workspace_of(config: JsonDocument, longest: int, dtype: str) -> Workspace:
    """Returns the workspace of a model that computes in ``dtype``, and whose texts have ``longest`` tokens at most: one of them fits."""
    hidden = config.count("hidden_size") or config.count("d_model") or config.count("dim") or 1024
    intermediate = config.count("intermediate_size") or 4 * hidden
    token_bytes = (4 if dtype == "float32" else 2) * (_HIDDEN * hidden + _INTERMEDIATE * intermediate)
    least = Workspace(0, token_bytes, 0).bytes(BatchShape(1, longest))
    return Workspace(max(SIZE, least), token_bytes, 0)
