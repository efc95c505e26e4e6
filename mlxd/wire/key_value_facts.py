"""What keys and values of a model are stored as, and what that costs: found out when it is loaded, and shown to people."""

import msgspec

from mlxd.types import KeyValueType, KeyValueWish


class LayerStorage(msgspec.Struct, frozen=True, kw_only=True):
    """Layers that are alike, and what the keys and values of each are stored as. ``window`` is how many tokens they see; None: all."""

    layers: int
    kv_heads: int
    key_dim: int
    value_dim: int
    type: KeyValueType
    reason: str  # why this type
    window: int | None = None
    group: int | None = None  # neighbouring elements that share a scale, where they are quantized


class KeyValueQuality(msgspec.Struct, frozen=True, kw_only=True):
    """How well a model with quantized keys and values predicts a text, beside itself without."""

    tokens: int  # that were predicted
    perplexity: float
    plain_perplexity: float
    agreement: float  # of these tokens, the share at which both think the same one the most likely

    @property
    def loss(self) -> float:
        """Returns by what part its perplexity is higher; negative where it is lower."""
        return self.perplexity / self.plain_perplexity - 1


class KeyValueFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration asks for, and what each kind of layers has. ``quality`` is None where nothing is quantized."""

    wish: KeyValueWish
    token_bytes: int  # of all layers
    plain_token_bytes: int  # if all were stored as they are computed
    layers: list[LayerStorage] = []
    quality: KeyValueQuality | None = None

    def by_type(self) -> dict[KeyValueType, int]:
        """Returns how many layers have each type."""
        return {kind: sum(one.layers for one in self.layers if one.type is kind) for kind in KeyValueType}
