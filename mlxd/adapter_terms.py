"""Adapters of a model: what is configured, and what has become of it. Frozen values, which travel as those of ``types``."""

from enum import StrEnum
from typing import Literal

import msgspec


class AdapterSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter that requests may name."""

    name: str
    source: str  # "org/name[@revision]" or a path
    load: Literal["eager", "lazy"] = "lazy"  # lazy: at the first request that names it
    pin: bool = False  # once loaded, it stays


class AdapterFormat(StrEnum):
    """Who wrote an adapter's files."""

    MLX_LM = "mlx-lm"
    PEFT = "peft"


class AdapterState(StrEnum):
    """What an adapter is now."""

    UNLOADED = "unloaded"  # it can be loaded, or nobody has tried yet
    LOADING = "loading"
    LOADED = "loaded"
    FAILED = "failed"  # it cannot be used; the reason says why


class AdapterFigures(msgspec.Struct, frozen=True, kw_only=True):
    """An adapter as a worker has it. What only its files say is empty before they were read."""

    name: str
    state: AdapterState = AdapterState.UNLOADED
    reason: str = ""
    format: AdapterFormat | None = None
    rank: int = 0  # the largest of its layers
    scale: float = 0.0  # by which what it adds is multiplied: alpha / r of PEFT; the largest of its layers
    layers: int = 0  # that it changes
    bytes: int = 0  # that it takes while it is loaded
    requests: int = 0  # that run or wait with it
    loads: int = 0  # since the worker began
    evictions: int = 0  # of these, how many were undone to make room for others
    pinned: bool = False
