"""BERT (Devlin et al. 2018), and what differs from it in little: RoBERTa, XLM-RoBERTa, MPNet and DistilBERT."""

import math
from typing import NamedTuple

import mlx.core as mx
from mlx import nn
from typing_extensions import override

from mlxd.worker.facts.encoding.longest import padding_token
from mlxd.worker.facts.encoding.values import number, size
from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.runtime.encoding.activations import Function, activation
from mlxd.worker.runtime.encoding.architecture import Architecture, Encoder, Renaming, ScoringHead
from mlxd.worker.runtime.encoding.attending import attend
from mlxd.worker.runtime.encoding.padded import PaddedBatch

_EPS = 1e-12
_BUCKETS, _FARTHEST = 32, 128  # of MPNet's distances, whatever a configuration says


class _Shape(NamedTuple):
    """The sizes of an encoder. The first token has the position ``first``, and without ``kinds`` texts of a pair are not told apart."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    inner: int
    positions: int
    first: int
    kinds: int
    eps: float
    activation: Function


class _Attention(nn.Module):  # type: ignore[misc]  # mlx ships no types
    def __init__(self, shape: _Shape) -> None:
        super().__init__()
        self._heads = shape.heads
        self.query = nn.Linear(shape.width, shape.width)
        self.key = nn.Linear(shape.width, shape.width)
        self.value = nn.Linear(shape.width, shape.width)
        self.output = nn.Linear(shape.width, shape.width)

    def __call__(self, hidden: mx.array, mask: mx.array | None, bias: mx.array | None) -> mx.array:
        rows, length, width = hidden.shape
        split = [layer(hidden).reshape(rows, length, self._heads, -1).transpose(0, 2, 1, 3) for layer in (self.query, self.key, self.value)]
        mixed = attend((split[0], split[1], split[2]), (width // self._heads) ** -0.5, mask, bias)
        found: mx.array = self.output(mixed.transpose(0, 2, 1, 3).reshape(rows, length, width))
        return found


class _Layer(nn.Module):  # type: ignore[misc]  # mlx ships no types
    def __init__(self, shape: _Shape) -> None:
        super().__init__()
        self.attention = _Attention(shape)
        self.attention_norm = nn.LayerNorm(shape.width, eps=shape.eps)
        self.inner = nn.Linear(shape.width, shape.inner)
        self.outer = nn.Linear(shape.inner, shape.width)
        self.norm = nn.LayerNorm(shape.width, eps=shape.eps)
        self._activation = shape.activation

    def __call__(self, hidden: mx.array, mask: mx.array | None, bias: mx.array | None) -> mx.array:
        hidden = self.attention_norm(hidden + self.attention(hidden, mask, bias))
        found: mx.array = self.norm(hidden + self.outer(self._activation(self.inner(hidden))))
        return found


class BertEncoder(Encoder):
    """The encoder of BERT."""

    def __init__(self, shape: _Shape) -> None:
        super().__init__()
        self.width, self.vocab_size = shape.width, shape.vocabulary
        self._first = shape.first
        self.words = nn.Embedding(shape.vocabulary, shape.width)
        self.positions = nn.Embedding(shape.positions, shape.width)
        if shape.kinds:
            self.kinds = nn.Embedding(shape.kinds, shape.width)
        self._kinds = shape.kinds
        self.norm = nn.LayerNorm(shape.width, eps=shape.eps)
        self.layers = [_Layer(shape) for _ in range(shape.layers)]

    @override
    def __call__(self, batch: PaddedBatch) -> mx.array:
        hidden = self.words(batch.tokens) + self.positions(mx.arange(self._first, self._first + batch.length))
        if self._kinds:
            hidden = hidden + self.kinds(batch.second if self._kinds > 1 else mx.zeros_like(batch.tokens))
        found: mx.array = self.norm(hidden)
        mask, bias = batch.mask(), self._bias(batch.length)
        for layer in self.layers:
            found = layer(found, mask, bias)
        return found

    def _bias(self, _length: int) -> mx.array | None:
        """Returns what is added to the scores of texts of such a length, ``[1, heads, length, length]``."""
        return None


class MpNetEncoder(BertEncoder):
    """The encoder of MPNet, whose scores have a bias for each distance of two tokens, in buckets as T5's (Raffel et al. 2019)."""

    def __init__(self, shape: _Shape, buckets: int) -> None:
        super().__init__(shape)
        self.distances = nn.Embedding(buckets, shape.heads)

    @override
    def _bias(self, length: int) -> mx.array | None:
        buckets = mx.array([_bucket(distance) for distance in range(1 - length, length)])
        places = mx.arange(length)
        found: mx.array = self.distances(buckets[places[None] - places[:, None] + length - 1])
        return found.transpose(2, 0, 1)[None]


def _bucket(distance: int) -> int:
    """Returns the bucket of a distance: near ones have one each, others share them, the more the further they are."""
    half = _BUCKETS // 2
    near, far = half // 2, abs(distance)
    if far >= near:
        far = min(near + int(math.log(far / near) / math.log(_FARTHEST / near) * (half - near)), half - 1)
    return far + (half if distance > 0 else 0)


class _FirstTokenHead(ScoringHead):
    """Two layers behind the first token's vector, with an activation between them."""

    def __init__(self, width: int, between: Function) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.last = nn.Linear(width, 1)
        self._between = between

    @override
    def __call__(self, hidden: mx.array, batch: PaddedBatch) -> mx.array:
        logits: mx.array = self.last(self._between(self.first(hidden[:, 0])))
        return logits[:, 0]


class Bert(Architecture):
    """BERT as it was first published, with or without a classifier."""

    # A path of a layer, before it the name of a model that has a head.
    names: tuple[Renaming, ...] = (
        (r"(?:\w+\.)?embeddings\.word_embeddings\.(\w+)", r"encoder.words.\1"),
        (r"(?:\w+\.)?embeddings\.position_embeddings\.(\w+)", r"encoder.positions.\1"),
        (r"(?:\w+\.)?embeddings\.token_type_embeddings\.(\w+)", r"encoder.kinds.\1"),
        (r"(?:\w+\.)?embeddings\.LayerNorm\.(\w+)", r"encoder.norm.\1"),
        (r"(?:\w+\.)?encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)\.(\w+)", r"encoder.layers.\1.attention.\2.\3"),
        (r"(?:\w+\.)?encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)", r"encoder.layers.\1.attention.output.\2"),
        (r"(?:\w+\.)?encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.(\w+)", r"encoder.layers.\1.attention_norm.\2"),
        (r"(?:\w+\.)?encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"encoder.layers.\1.inner.\2"),
        (r"(?:\w+\.)?encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"encoder.layers.\1.outer.\2"),
        (r"(?:\w+\.)?encoder\.layer\.(\d+)\.output\.LayerNorm\.(\w+)", r"encoder.layers.\1.norm.\2"),
        (r"(?:\w+\.)?pooler\.dense\.(\w+)", r"head.first.\1"),
        (r"classifier\.(\w+)", r"head.last.\1"),
    )
    dropped: tuple[str, ...] = (r"(?:\w+\.)?embeddings\.(position|token_type)_ids", r"cls\..*")

    @override
    def encoder(self, config: JsonDocument) -> Encoder:
        _check_positions(config)
        return BertEncoder(self._shape(config))

    @override
    def head(self, config: JsonDocument) -> ScoringHead:
        return _FirstTokenHead(size(config, "hidden_size"), mx.tanh)

    def _shape(self, config: JsonDocument) -> _Shape:
        return _checked(
            config,
            "num_attention_heads",
            _Shape(
                vocabulary=size(config, "vocab_size"),
                width=size(config, "hidden_size"),
                layers=size(config, "num_hidden_layers"),
                heads=size(config, "num_attention_heads"),
                inner=size(config, "intermediate_size"),
                positions=size(config, "max_position_embeddings"),
                first=self._first_position(config),
                kinds=self._kinds(config),
                eps=number(config, "layer_norm_eps", default=_EPS),
                activation=activation(config, "hidden_act"),
            ),
        )

    def _kinds(self, config: JsonDocument) -> int:
        return size(config, "type_vocab_size")

    def _first_position(self, _config: JsonDocument) -> int:
        return 0


class Roberta(Bert):
    """RoBERTa (Liu et al. 2019), whose positions begin behind that of padding, and XLM-RoBERTa, which is the same."""

    names: tuple[Renaming, ...] = (
        *Bert.names[:-2],
        (r"classifier\.dense\.(\w+)", r"head.first.\1"),
        (r"classifier\.out_proj\.(\w+)", r"head.last.\1"),
    )
    dropped: tuple[str, ...] = (*Bert.dropped, r"lm_head\..*", r"(?:\w+\.)?pooler\..*")

    @override
    def _first_position(self, config: JsonDocument) -> int:
        return padding_token(config) + 1


class MpNet(Roberta):
    """MPNet (Song et al. 2020): RoBERTa with biases for distances, whose attention is spelled in another way."""

    names = (
        *Roberta.names,
        (r"(?:\w+\.)?encoder\.relative_attention_bias\.(\w+)", r"encoder.distances.\1"),
        (r"(?:\w+\.)?encoder\.layer\.(\d+)\.attention\.attn\.q\.(\w+)", r"encoder.layers.\1.attention.query.\2"),
        (r"(?:\w+\.)?encoder\.layer\.(\d+)\.attention\.attn\.k\.(\w+)", r"encoder.layers.\1.attention.key.\2"),
        (r"(?:\w+\.)?encoder\.layer\.(\d+)\.attention\.attn\.v\.(\w+)", r"encoder.layers.\1.attention.value.\2"),
        (r"(?:\w+\.)?encoder\.layer\.(\d+)\.attention\.attn\.o\.(\w+)", r"encoder.layers.\1.attention.output.\2"),
        (r"(?:\w+\.)?encoder\.layer\.(\d+)\.attention\.LayerNorm\.(\w+)", r"encoder.layers.\1.attention_norm.\2"),
    )

    @override
    def encoder(self, config: JsonDocument) -> Encoder:
        buckets = size(config, "relative_attention_num_buckets")
        if buckets != _BUCKETS:
            raise config.wrong("relative_attention_num_buckets", str(_BUCKETS))
        return MpNetEncoder(self._shape(config), buckets)

    @override
    def _kinds(self, config: JsonDocument) -> int:
        return 0


class DistilBert(Bert):
    """DistilBERT (Sanh et al. 2019), which does not tell the texts of a pair apart."""

    names: tuple[Renaming, ...] = (
        (r"(?:\w+\.)?embeddings\.word_embeddings\.(\w+)", r"encoder.words.\1"),
        (r"(?:\w+\.)?embeddings\.position_embeddings\.(\w+)", r"encoder.positions.\1"),
        (r"(?:\w+\.)?embeddings\.LayerNorm\.(\w+)", r"encoder.norm.\1"),
        (r"(?:\w+\.)?transformer\.layer\.(\d+)\.attention\.q_lin\.(\w+)", r"encoder.layers.\1.attention.query.\2"),
        (r"(?:\w+\.)?transformer\.layer\.(\d+)\.attention\.k_lin\.(\w+)", r"encoder.layers.\1.attention.key.\2"),
        (r"(?:\w+\.)?transformer\.layer\.(\d+)\.attention\.v_lin\.(\w+)", r"encoder.layers.\1.attention.value.\2"),
        (r"(?:\w+\.)?transformer\.layer\.(\d+)\.attention\.out_lin\.(\w+)", r"encoder.layers.\1.attention.output.\2"),
        (r"(?:\w+\.)?transformer\.layer\.(\d+)\.sa_layer_norm\.(\w+)", r"encoder.layers.\1.attention_norm.\2"),
        (r"(?:\w+\.)?transformer\.layer\.(\d+)\.ffn\.lin1\.(\w+)", r"encoder.layers.\1.inner.\2"),
        (r"(?:\w+\.)?transformer\.layer\.(\d+)\.ffn\.lin2\.(\w+)", r"encoder.layers.\1.outer.\2"),
        (r"(?:\w+\.)?transformer\.layer\.(\d+)\.output_layer_norm\.(\w+)", r"encoder.layers.\1.norm.\2"),
        (r"pre_classifier\.(\w+)", r"head.first.\1"),
        (r"classifier\.(\w+)", r"head.last.\1"),
    )
    dropped: tuple[str, ...] = (*Bert.dropped, r"vocab_.*")

    @override
    def head(self, config: JsonDocument) -> ScoringHead:
        return _FirstTokenHead(size(config, "dim", "hidden_size"), nn.relu)

    @override
    def _shape(self, config: JsonDocument) -> _Shape:
        return _checked(
            config,
            "n_heads",
            _Shape(
                vocabulary=size(config, "vocab_size"),
                width=size(config, "dim", "hidden_size"),
                layers=size(config, "n_layers", "num_hidden_layers"),
                heads=size(config, "n_heads", "num_attention_heads"),
                inner=size(config, "hidden_dim", "intermediate_size"),
                positions=size(config, "max_position_embeddings"),
                first=0,
                kinds=0,
                eps=_EPS,
                activation=activation(config, "activation"),
            ),
        )


def _check_positions(config: JsonDocument) -> None:
    kind = config.text("position_embedding_type")
    if kind not in (None, "absolute"):
        raise config.wrong("position_embedding_type", '"absolute"')


def _checked(config: JsonDocument, key: str, shape: _Shape) -> _Shape:
    if shape.width % shape.heads:
        raise config.wrong(key, f"a divisor of the {shape.width} numbers of a vector")
    return shape
