"""What of a cache is kept for whom: quotas of keys, and prompts that stay. Frozen values, which travel as those of ``types``."""

from enum import StrEnum
from typing import Literal

import msgspec

PinForm = Literal["system", "text"]


class CacheQuota(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a model's cache the holder of a key, by its name, keeps whatever others ask: ``size`` in bytes, or a ``fraction`` of it."""

    holder: str
    size: int | None = None
    fraction: float | None = None

    def share_of(self, limit: int) -> float:
        """Returns the fraction that it is of a cache of ``limit`` bytes, at most 1."""
        if self.size is None:
            return min(1.0, self.fraction or 0.0)
        return min(1.0, self.size / limit) if limit else 1.0


class PinnedPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """The beginning of prompts whose keys and values stay in the cache."""

    name: str
    text: str
    form: PinForm = "system"  # a conversation's system message, as the chat template shows it; or a text as it is
    special_tokens: bool = False  # the spelling of a control token in a system message is that token, not text


class PinState(StrEnum):
    """What has become of a prompt that is to stay in the cache."""

    COMPUTING = "computing"  # it is computed, or waits for that
    KEPT = "kept"
    REFUSED = "refused"  # it cannot be kept; the reason says why


class PinFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt that is to stay in the cache. ``tokens`` are those that prompts which begin with it find."""

    name: str
    state: PinState
    tokens: int = 0
    bytes: int = 0  # what its blocks take; those of the same beginning count for each
    reason: str = ""


class KeyCacheFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What the requests of one key have in a cache, in bytes: what was used by it last. ``quota`` is None where it has none."""

    held: int = 0
    quota: int | None = None
