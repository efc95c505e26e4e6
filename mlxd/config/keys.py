"""A key of the file as a path, ``("models", "qwen3", "source")``, and as people write it."""

import json
import re
from dataclasses import dataclass, field

Key = tuple[str | int, ...]  # an int is a position in an array

_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class OwnKeys:
    """Keys that are written in a table itself. They are no part of what it says: tables that say the same are equal, wherever it stands."""

    keys: tuple[Key, ...] = field(default=(), compare=False)


def dotted(key: Key) -> str:
    """Writes a key as TOML does: ``models.qwen3.source``, ``server.listen[1]``, ``models."qwen3:8b".source``."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False))
    return text
