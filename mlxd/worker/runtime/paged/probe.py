"""Is the paged runner right for this model? Not by its name: by its logits.

A sequence is fed in two chunks, the second beside the whole prompt of another; then both decode one token together. All of it must
give the logits of the plain model. Where the model has a sliding window that a prompt can outgrow at little cost, it does.
"""

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.arenas import Geometry
from mlxd.worker.runtime.paged.layer_cache import NotPageableError
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.proof import ATTEMPTS, difference, random_tokens, tolerance

_LONG, _SHORT = 21, 9  # tokens
_LONGEST = {"cpu": 160, "gpu": 2048}  # tokens, to outgrow a window


class ProbeFailedError(NotPageableError):
    """The model's logits over the paged cache are not those of the plain model."""

    code = "probe_failed"


def probe(loaded: LoadedModel, model: PagedModel) -> None:
    """Leaves ``model`` as it computed last: its sizes are known now. Raises ``ProbeFailedError``, or whatever the model raises."""
    length = _length(model, loaded.device)
    model.resize(Geometry(model.geometry.block_size, 2 * -(-(length + 1) // model.geometry.block_size)))
    found = float("inf")
    for attempt in range(ATTEMPTS):
        tokens = random_tokens(loaded, length + _SHORT + 2, attempt)
        long, short = tokens[: length + 1], tokens[length + 1 :]
        found = min(found, difference(_plain(loaded.model, long, short), _paged(model, long, short)))
        if found <= tolerance(loaded):
            return
    raise ProbeFailedError(f"its logits over the paged cache differ from the plain model's by {found:.2g} standard deviations")


def _length(model: PagedModel, device: str) -> int:
    """Tokens of the longer prompt."""
    return max([_LONG, *(window + _SHORT for window in model.windows if window + _SHORT <= _LONGEST[device])])


def _plain(model: Any, *sequences: list[int]) -> mx.array:
    """The logits after all but the last token, and after the last, of each sequence."""
    rows = []
    for tokens in sequences:
        cache = make_prompt_cache(model)
        prompt = model(mx.array(tokens[:-1])[None], cache=cache)[0, -1]
        rows.append((prompt, model(mx.array(tokens[-1:])[None], cache=cache)[0, -1]))
    return mx.stack([prompt for prompt, _ in rows] + [last for _, last in rows]).astype(mx.float32)


def _paged(model: PagedModel, long: list[int], short: list[int]) -> mx.array:
    """As ``_plain``."""
    blocks = model.geometry.arena_blocks // 2
    runs = {"long": (Run(0, blocks),), "short": (Run(blocks, 2 * blocks),)}

    def chunk(name: str, tokens: list[int], start: int, stop: int, *, samples: bool = True) -> Chunk:
        return Chunk(name, start, stop - start, tuple(tokens[start:stop]), runs[name], samples)

    length = len(long) - 1
    middle = length // 2 + 1
    model.clear()
    _forward(model, chunk("long", long, 0, middle, samples=False))
    prompts = _forward(model, chunk("long", long, middle, length), chunk("short", short, 0, _SHORT))
    last = _forward(model, chunk("long", long, length, length + 1), chunk("short", short, _SHORT, _SHORT + 1))
    return mx.concatenate([prompts, last]).astype(mx.float32)


def _forward(model: PagedModel, *chunks: Chunk) -> mx.array:
    tokens = [token for chunk in chunks for token in chunk.tokens or ()]
    rows = model.forward(StepPlan(chunks=chunks), mx.array(tokens)).rows
    mx.eval(rows, *model.tensors())
    return rows
