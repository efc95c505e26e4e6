"""NomicBERT (Nussbaum et al. 2024): BERT with rotary positions and gated layers, without biases in them.

Its configuration and its weights are spelled in two ways: as its authors have them, who load it by code of their own, and as transformers
does today.
"""

import re

import mlx.core as mx
from mlx import nn
from typing_extensions import override

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.encoding.values import flag, number, size
from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.runtime.encoding.architecture import Architecture, Encoder, ScoringHead
from mlxd.worker.runtime.encoding.attending import attend
from mlxd.worker.runtime.encoding.padded import PaddedBatch
from mlxd.worker.runtime.x86 import swiglu

_BASE = 1000.0
_EPS = 1e-12
_APART = re.compile(r"(?P<before>.*layers\.\d+\.)self_attn\.(?P<which>[qkv])_proj\.(?P<rest>\w+)")
_NO_MORE = ("qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias", "prenorm", "use_rms_norm", "rotary_emb_interleaved")
_MIXES = "num_experts"  # of its successor, whose layers are mixtures


class _Layer(nn.Module):  # type: ignore[misc]  # mlx ships no types
    def __init__(self, config: JsonDocument) -> None:
        super().__init__()
        width, inner = size(config, "hidden_size", "n_embd"), size(config, "intermediate_size", "n_inner")
        self._heads = size(config, "num_attention_heads", "n_head")
        if width % self._heads:
            raise config.wrong("n_head", f"a divisor of the {width} numbers of a vector")
        eps = number(config, "layer_norm_epsilon", default=number(config, "layer_norm_eps", default=_EPS))
        self.Wqkv = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        self.attention_norm = nn.LayerNorm(width, eps=eps)
        self.up = nn.Linear(width, inner, bias=False)
        self.gate = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)
        self.norm = nn.LayerNorm(width, eps=eps)
        self._rope = nn.RoPE(width // self._heads, traditional=False, base=_base(config))

    def __call__(self, hidden: mx.array, mask: mx.array | None) -> mx.array:
        rows, length, width = hidden.shape
        split = self.Wqkv(hidden).reshape(rows, length, 3, self._heads, -1).transpose(2, 0, 3, 1, 4)
        mixed = attend((self._rope(split[0]), self._rope(split[1]), split[2]), (width // self._heads) ** -0.5, mask)
        hidden = self.attention_norm(hidden + self.output(mixed.transpose(0, 2, 1, 3).reshape(rows, length, width)))
        found: mx.array = self.norm(hidden + self.down(swiglu(self.gate(hidden), self.up(hidden))))
        return found


class NomicBertEncoder(Encoder):
    """The encoder of NomicBERT."""

    def __init__(self, config: JsonDocument) -> None:
        super().__init__()
        self.width, self.vocab_size = size(config, "hidden_size", "n_embd"), size(config, "vocab_size")
        self._kinds = size(config, "type_vocab_size")
        self.words = nn.Embedding(self.vocab_size, self.width)
        self.kinds = nn.Embedding(self._kinds, self.width)
        self.norm = nn.LayerNorm(
            self.width, eps=number(config, "layer_norm_epsilon", default=number(config, "layer_norm_eps", default=_EPS))
        )
        self.layers = [_Layer(config) for _ in range(size(config, "num_hidden_layers", "n_layer"))]

    @override
    def __call__(self, batch: PaddedBatch) -> mx.array:
        kinds = batch.second if self._kinds > 1 else mx.zeros_like(batch.tokens)
        hidden: mx.array = self.norm(self.words(batch.tokens) + self.kinds(kinds))
        mask = batch.mask()
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return hidden


class NomicBert(Architecture):
    """NomicBERT, which makes vectors and has no classifier here."""

    names = (
        (r"(?:\w+\.)?embeddings\.word_embeddings\.(\w+)", r"encoder.words.\1"),
        (r"(?:\w+\.)?embeddings\.token_type_embeddings\.(\w+)", r"encoder.kinds.\1"),
        (r"(?:\w+\.)?(?:emb_ln|embeddings\.LayerNorm)\.(\w+)", r"encoder.norm.\1"),
        (r"(?:\w+\.)?layers\.(\d+)\.attn\.Wqkv\.(\w+)", r"encoder.layers.\1.Wqkv.\2"),
        (r"(?:\w+\.)?layers\.(\d+)\.(?:attn\.out_proj|self_attn\.o_proj)\.(\w+)", r"encoder.layers.\1.output.\2"),
        (r"(?:\w+\.)?layers\.(\d+)\.(?:norm1|post_attention_layernorm)\.(\w+)", r"encoder.layers.\1.attention_norm.\2"),
        (r"(?:\w+\.)?layers\.(\d+)\.(?:norm2|post_mlp_layernorm)\.(\w+)", r"encoder.layers.\1.norm.\2"),
        (r"(?:\w+\.)?layers\.(\d+)\.mlp\.(?:fc11|up_proj)\.(\w+)", r"encoder.layers.\1.up.\2"),
        (r"(?:\w+\.)?layers\.(\d+)\.mlp\.(?:fc12|gate_proj)\.(\w+)", r"encoder.layers.\1.gate.\2"),
        (r"(?:\w+\.)?layers\.(\d+)\.mlp\.(?:fc2|down_proj)\.(\w+)", r"encoder.layers.\1.down.\2"),
    )
    dropped = (r"(?:\w+\.)?pooler\..*", r"cls\..*", r".*rotary_emb\.inv_freq")

    @override
    def encoder(self, config: JsonDocument) -> Encoder:
        for key in _NO_MORE:
            if flag(config, key, default=False):
                raise config.wrong(key, "false")
        if config.get(_MIXES):
            raise config.wrong(_MIXES, "none: mixtures of experts are not known of this type")
        if config.text("activation_function") not in (None, "swiglu") or config.text("hidden_act") not in (None, "silu"):
            raise config.wrong("activation_function", '"swiglu"')
        return NomicBertEncoder(config)

    @override
    def head(self, config: JsonDocument) -> ScoringHead:
        raise config.wrong("architectures", "no classifier: none is known of this type")

    @override
    def weights(self, found: dict[str, mx.array], config: JsonDocument) -> dict[str, mx.array]:
        return super().weights(_joined(found, config), config)


def _joined(found: dict[str, mx.array], config: JsonDocument) -> dict[str, mx.array]:
    """Joins queries, keys and values where they are apart: packed rows, too, for each is packed by itself."""
    joined, apart = {}, dict[str, dict[str, mx.array]]()
    for name, value in found.items():
        if (match := _APART.fullmatch(name.replace("encoder.layers.", "layers."))) is None:
            joined[name.replace("encoder.layers.", "layers.")] = value
        else:
            apart.setdefault(f"{match['before']}attn.Wqkv.{match['rest']}", {})[match["which"]] = value
    for name, parts in apart.items():
        if len(parts) != len("qkv"):
            raise ModelSourceError(f"{config.path.parent}: of {name}, the weights have only {', '.join(sorted(parts))}")
        joined[name] = mx.concatenate([parts[which] for which in "qkv"], axis=0)
    return joined


def _base(config: JsonDocument) -> float:
    rotary = config.part("rope_parameters")
    if rotary is not None and rotary.text("rope_type") not in (None, "default"):
        raise rotary.wrong("rope_type", '"default"')
    if (fraction := config.get("rotary_emb_fraction")) not in (None, 1, 1.0):
        raise config.wrong("rotary_emb_fraction", f"1, not {fraction}")
    return number(rotary or config, "rope_theta", default=number(config, "rotary_emb_base", default=_BASE))
