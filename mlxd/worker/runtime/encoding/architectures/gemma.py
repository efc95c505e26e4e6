"""EmbeddingGemma: the layers of Gemma 3, whose tokens see both ways, some layers a window only.

The layers are mlx-lm's. What goes in is scaled here: mlx-lm rounds the factor to bfloat16, which models in float32 were not computed with.
"""

from typing import Any

import mlx.core as mx
from mlx_lm.models import gemma3_text
from typing_extensions import override

from mlxd.worker.facts.encoding.values import flag, rotation_base, size
from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.runtime.encoding.architecture import Architecture, Encoder, ScoringHead
from mlxd.worker.runtime.encoding.attending import attending_so
from mlxd.worker.runtime.encoding.padded import PaddedBatch

_FULL, _SLIDING = "full_attention", "sliding_attention"
_PATTERN = 6  # layers, of which the last sees all
_BASES = {_FULL: ("rope_theta", 1_000_000.0), _SLIDING: ("rope_local_base_freq", 10_000.0)}
_WINDOW = 4096


class GemmaEncoder(Encoder):
    """The layers of Gemma 3. A ``window`` is how far some of them see to either side."""

    def __init__(self, arguments: gemma3_text.ModelArgs, window: int) -> None:
        super().__init__()
        self.width, self.vocab_size = arguments.hidden_size, arguments.vocab_size
        self.inner: Any = gemma3_text.Gemma3Model(arguments)
        self._window = window

    @override
    def __call__(self, batch: PaddedBatch) -> mx.array:
        words: mx.array = self.inner.embed_tokens(batch.tokens)
        hidden = words * mx.array(self.width**0.5, words.dtype)
        everything, near = batch.mask(), batch.mask(self._window)
        with attending_so():
            for layer in self.inner.layers:
                hidden = layer(hidden, near if layer.self_attn.is_sliding else everything, None)
        found: mx.array = self.inner.norm(hidden)
        return found


class Gemma(Architecture):
    """EmbeddingGemma, which makes vectors and has no classifier."""

    names = (
        (r"model\.(.*)", r"encoder.inner.\1"),
        (r"(embed_tokens|layers|norm)\.(.*)", r"encoder.inner.\1.\2"),
    )
    dropped = (r"lm_head\..*",)

    @override
    def encoder(self, config: JsonDocument) -> Encoder:
        if not flag(config, "use_bidirectional_attention", default=False):
            raise config.wrong("use_bidirectional_attention", "true: of this type, only models that see both ways are known here")
        bases = {key: rotation_base(config, kind, key, base) for kind, (key, base) in _BASES.items()}
        known = config.values | bases | {"sliding_window_pattern": _pattern(config)}
        arguments = gemma3_text.ModelArgs.from_dict({key: value for key, value in known.items() if value is not None})
        return GemmaEncoder(arguments, (config.count("sliding_window") or _WINDOW) // 2)

    @override
    def head(self, config: JsonDocument) -> ScoringHead:
        raise config.wrong("architectures", "no classifier: none is known of this type")


def _pattern(config: JsonDocument) -> int:
    """Returns every how manyth layer sees all. Raises ``ModelSourceError`` where they do not come so regularly."""
    said = config.get("layer_types")
    if said is None:
        return config.count("sliding_window_pattern") or config.count("_sliding_window_pattern") or _PATTERN
    layers = size(config, "num_hidden_layers")
    if not isinstance(said, list) or len(said) != layers or not all(kind in _BASES for kind in said):
        raise config.wrong("layer_types", f"a list of {layers}, each {_FULL} or {_SLIDING}")
    pattern = said.index(_FULL) + 1 if _FULL in said else layers + 1
    if said != [_SLIDING if (layer + 1) % pattern else _FULL for layer in range(layers)]:
        raise config.wrong("layer_types", f"{_FULL} at every {pattern}. layer")
    return pattern
