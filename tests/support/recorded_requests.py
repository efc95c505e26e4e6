"""What real clients sent: ``tests/data/recorded_requests.jsonl``, structure only.

Texts are filler of the length they had; of a long one only its length is kept.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "recorded_requests.jsonl"
_LENGTH = re.compile(r"<<(\d+) characters>>")
_FILLER = "the model reads this line and goes on to the next one with care "


@dataclass(frozen=True)
class Recorded:
    """One request. ``headers`` are those that say something to one API only."""

    client: str
    path: str
    body: dict[str, Any]
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The path with its query."""
        return f"{self.path}?{self.query}" if self.query else self.path


def recorded_requests() -> list[Recorded]:
    """All of them."""
    return [Recorded(**json.loads(line, object_hook=_expanded)) for line in DATA.read_text().splitlines()]


def recorded(path):
    """Returns the bodies that were sent to this path, by client."""
    return {one.client: one.body for one in recorded_requests() if one.path == path}


def _expanded(value):
    return {name: _text(inner) if isinstance(inner, str) else inner for name, inner in value.items()}


def _text(value):
    found = _LENGTH.fullmatch(value)
    return value if found is None else (_FILLER * (int(found[1]) // len(_FILLER) + 1))[: int(found[1])]
