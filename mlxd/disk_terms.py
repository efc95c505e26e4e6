"""Blocks of a cache on disk: what is wished for, and what has become of it. Frozen values, which travel as those of ``types``."""

from enum import StrEnum

import msgspec


class DiskState(StrEnum):
    """What a cache on disk does now."""

    OFF = "off"  # nothing: it is not wanted, or cannot be used; the reason says which
    OPENING = "opening"  # it looks at what is there
    ON = "on"
    READ_ONLY = "read_only"  # it finds and reads; the reason says why it does not write


class DiskDrop(StrEnum):
    """Why a block was not written."""

    QUEUE = "queue"  # as many bytes wait to be written as may
    BUDGET = "budget"  # as much was written within an hour as may be
    STATE = "state"  # nothing is written now
    SIZE = "size"  # it is larger than the limit has room for


class DiskError(StrEnum):
    """What went wrong with a cache on disk."""

    OPEN = "open"
    READ = "read"
    WRITE = "write"
    CORRUPT = "corrupt"  # what was read is not what was written


class DiskSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cache on disk is, and how much it may take. All models, of all daemons, that name a directory share it."""

    path: str  # absolute
    limit: int  # bytes that the directory takes at any moment
    write_budget: int | None = None  # bytes that are written to it within any hour; None: as many as come


class DiskFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A cache on disk, as a worker sees it: ``blocks`` and ``bytes`` are those of its model; what is counted is since its start."""

    state: DiskState = DiskState.OFF
    reason: str = ""  # why it is not on
    blocks: int = 0
    bytes: int = 0
    directory_bytes: int = 0  # of all models, with the index
    limit_bytes: int = 0
    queued_bytes: int = 0  # waiting to be written
    hit_tokens: int = 0  # of prompts, that were read instead of computed
    lost_blocks: int = 0  # evicted from memory before they could be copied: there was no time, or no room
    read_blocks: int = 0
    read_bytes: int = 0
    missed_blocks: int = 0  # asked for, and not there any more
    written_blocks: int = 0
    written_bytes: int = 0
    dropped_blocks: dict[DiskDrop, int] = {}
    evicted_blocks: int = 0  # to make room, of whatever model
    errors: dict[DiskError, int] = {}
