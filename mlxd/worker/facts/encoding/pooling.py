"""How the vectors of a text's tokens become one: what ``1_Pooling/config.json`` says, as sentence-transformers reads it."""

from dataclasses import dataclass
from enum import StrEnum

from mlxd.worker.facts.encoding.values import flag
from mlxd.worker.facts.json_document import JsonDocument


class PoolingMode(StrEnum):
    """The ways to pool, by the names that new configurations have."""

    CLS = "cls"  # the first token
    MAX = "max"
    MEAN = "mean"
    MEAN_SQRT_LEN = "mean_sqrt_len_tokens"  # the sum over the root of how many they are
    WEIGHTED_MEAN = "weightedmean"  # by their places, the first of which is 1
    LAST_TOKEN = "lasttoken"  # noqa: S105 - no password


# Old configurations have a key for each, and this is the order in which several of them are joined.
_KEYS = {
    "pooling_mode_cls_token": PoolingMode.CLS,
    "pooling_mode_max_tokens": PoolingMode.MAX,
    "pooling_mode_mean_tokens": PoolingMode.MEAN,
    "pooling_mode_mean_sqrt_len_tokens": PoolingMode.MEAN_SQRT_LEN,
    "pooling_mode_weightedmean_tokens": PoolingMode.WEIGHTED_MEAN,
    "pooling_mode_lasttoken": PoolingMode.LAST_TOKEN,
}


@dataclass(frozen=True)
class Pooling:
    """What is made of the vectors of a text's tokens: one vector for each of the ``modes``, joined in their order. Without
    ``with_prompt``, the tokens of a prompt are left out. ``width`` is that of a token's vector, where the file says so.
    """

    modes: tuple[PoolingMode, ...]
    origin: str
    with_prompt: bool = True
    width: int | None = None

    @property
    def name(self) -> str:
        """Returns the modes for people."""
        return "+".join(self.modes)


def read_pooling(settings: JsonDocument, name: str) -> Pooling:
    """Returns what the settings of a module say, which lies in the directory ``name``. Raises ``ModelSourceError`` that names the key."""
    width = settings.count("embedding_dimension") or settings.count("word_embedding_dimension")
    with_prompt = flag(settings, "include_prompt", default=True)
    if settings.get("pooling_mode") is not None:
        modes, origin = _named(settings), f"{name}/{settings.origin('pooling_mode')}"
    else:
        set_keys = [key for key in _KEYS if flag(settings, key, default=False)]
        modes = tuple(_KEYS[key] for key in set_keys) or (PoolingMode.MEAN,)
        origin = f"{name}/{settings.origin(set_keys[0])}" if set_keys else f"{name}/{settings.path.name} names none"
    return Pooling(modes, origin, with_prompt, width)


def _named(settings: JsonDocument) -> tuple[PoolingMode, ...]:
    value = settings.get("pooling_mode")
    names = [value] if isinstance(value, str) else value
    known = {str(mode): mode for mode in PoolingMode}
    if not isinstance(names, list) or not names or not all(isinstance(one, str) and one in known for one in names):
        raise settings.wrong("pooling_mode", f"one of {', '.join(PoolingMode)}, or a list of them")
    return tuple(known[one] for one in names)
