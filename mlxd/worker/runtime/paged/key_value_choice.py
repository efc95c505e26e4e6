"""What the keys and values of each layer are stored as: what was asked for, where it can be, and where it is proved to be good enough.

Quantized ones are proved twice. The store is right if the model's logits are those over the same keys and values as floats; the type is
good enough if the model predicts a text about as well as the plain model does.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite

import mlx.core as mx
import msgspec

from mlxd.errors import ConfigError
from mlxd.types import KeyValueType, KeyValueWish
from mlxd.wire.key_value_facts import KeyValueFacts, KeyValueQuality, LayerStorage
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.arenas import Plain
from mlxd.worker.runtime.paged.build import ProvedModel
from mlxd.worker.runtime.paged.key_value_store import StoreKind
from mlxd.worker.runtime.paged.layer_cache import NotPageableError, PagedLayerCache
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.probe import probe
from mlxd.worker.runtime.paged.quantized.products import products_of
from mlxd.worker.runtime.paged.quantized.quality import quality, text_tokens
from mlxd.worker.runtime.paged.quantized.quantized_arenas import Int8
from mlxd.worker.runtime.paged.quantized.rounded import RoundedCache

MOST_LOSS = 0.01  # of perplexity
_GROUPS = (64, 32)  # elements
_FEWEST = 16  # tokens of a text that say anything

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyValueChoice:
    """A model that stores keys and values as it is going to, and what is said of that."""

    proved: ProvedModel
    facts: KeyValueFacts


def choose_key_values(loaded: LoadedModel, proved: ProvedModel, wish: KeyValueWish) -> KeyValueChoice:
    """Returns the model with the stores that are asked for, which it was just proved without.

    Raises ``ConfigError`` where no layer can have them, or the model is not good enough with them; it is of no use then.
    """
    stored, size = _Layers.of(proved.model), proved.model.token_bytes
    facts = KeyValueFacts(wish=wish, token_bytes=size, plain_token_bytes=size, layers=stored.facts(wish))
    if wish != "int8":
        return KeyValueChoice(proved, facts)
    began = time.monotonic()
    proved = _quantized(loaded, proved, stored)
    found = _good_enough(loaded, proved.model)
    _log.info("keys and values of 8 bits: %s; found out in %.2f s", told(found), time.monotonic() - began)
    for one in facts.layers:
        if one.type is KeyValueType.MODEL:
            _log.warning("keys and values of %d layers stay in the model's type: %s", one.layers, one.reason)
    return KeyValueChoice(proved, msgspec.structs.replace(facts, token_bytes=proved.model.token_bytes, quality=found))


def refusal(reason: str) -> ConfigError:
    """Returns the error that says why keys and values of 8 bits cannot be had."""
    return ConfigError([f'cache.dtype is "int8", but {reason}; set it to "model"'])


def told(found: KeyValueQuality) -> str:
    """Says for people how good a model is."""
    return (
        f"perplexity {found.perplexity:.4g} instead of {found.plain_perplexity:.4g} ({found.loss:+.2%}), "
        f"{found.agreement:.1%} of {found.tokens} tokens of a text the same"
    )


@dataclass(frozen=True)
class _Shape:
    """What the keys and values of a layer are, and how they can be stored: in groups of so many elements, or, None, not in any."""

    window: int | None
    kv_heads: int
    key_dim: int
    value_dim: int
    group: int | None

    @classmethod
    def of(cls, layer: PagedLayerCache) -> "_Shape | None":
        """Returns the shape of a layer that has written something into a plain store; None where it never does, or has another."""
        if not layer.store.count or layer.kind != Plain():
            return None
        tensors = layer.store.tensors()
        sizes = tensors[0].shape[-1], tensors[-1].shape[-1]
        group = next((group for group in _GROUPS if all(size and size % group == 0 for size in sizes)), None)
        return cls(layer.window, layer.store.kv_heads, *sizes, group)

    def facts(self, layers: int, wish: KeyValueWish) -> LayerStorage:
        if wish != "int8":
            kind, reason = KeyValueType.MODEL, f'cache.dtype = "{wish}"'
        elif self.group is None:
            kind, reason = KeyValueType.MODEL, f"heads of {self.key_dim} and {self.value_dim} elements are no multiples of {_GROUPS[-1]}"
        else:
            kind, reason = KeyValueType.INT8, 'cache.dtype = "int8"'
        return LayerStorage(
            layers=layers,
            kv_heads=self.kv_heads,
            key_dim=self.key_dim,
            value_dim=self.value_dim,
            type=kind,
            reason=reason,
            window=self.window,
            group=self.group if kind is KeyValueType.INT8 else None,
        )


@dataclass(frozen=True)
class _Layers:
    """The shapes of all layers, and how each stores; None of those that have no keys and values of their own, or keep something else."""

    shapes: tuple[_Shape | None, ...]
    stored: tuple[StoreKind, ...]

    @classmethod
    def of(cls, model: PagedModel) -> "_Layers":
        """Returns what the layers of a model are, which has computed something over plain stores."""
        return cls(tuple(map(_Shape.of, model.layers)), tuple(layer.kind for layer in model.layers))

    def kinds(self, device: str) -> list[StoreKind]:
        """Returns how each is to be stored."""
        quantized = {group: Int8(products_of(device, group)) for group in _GROUPS}
        each = zip(self.shapes, self.stored, strict=True)
        return [stored if shape is None or shape.group is None else quantized[shape.group] for shape, stored in each]

    def facts(self, wish: KeyValueWish) -> list[LayerStorage]:
        """Returns the kinds of layers there are."""
        return [shape.facts(count, wish) for shape, count in Counter(filter(None, self.shapes)).items()]

    @property
    def troubles(self) -> Iterator[str]:
        """Yields why layers cannot be quantized."""
        yield from dict.fromkeys(one.reason for one in self.facts("int8") if one.type is KeyValueType.MODEL)


def _quantized(loaded: LoadedModel, proved: ProvedModel, stored: _Layers) -> ProvedModel:
    """Returns the model with quantized keys and values wherever they can be, and a proof that they are what they should be."""
    model, kinds = proved.model, stored.kinds(loaded.device)
    if not any(isinstance(kind, Int8) for kind in kinds):
        raise refusal("; ".join(stored.troubles) or "no layer of the model keeps keys and values as they are")
    model.store_as(kinds)
    try:
        with model.ways.observed():
            return ProvedModel(model, probe(loaded, model, RoundedCache()))
    except NotPageableError as error:
        raise refusal(error.message) from error


def _good_enough(loaded: LoadedModel, model: PagedModel) -> KeyValueQuality:
    tokens = text_tokens(loaded)
    if len(tokens) < _FEWEST:
        raise refusal("the model knows no text by which that could be proved")
    found = quality(loaded, model, tokens)
    mx.clear_cache()
    if not isfinite(found.loss) or abs(found.loss) > MOST_LOSS:
        raise refusal(f"with it the model is not as it was: {told(found)}, and {MOST_LOSS:.0%} is allowed")
    return found
