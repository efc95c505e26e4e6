"""What real clients sent: ``tests/data/recorded_requests.jsonl``, structure only.

Texts are filler of the length they had; of a long one only its length is kept.
"""

import json
import re
from pathlib import Path

DATA = Path(__file__).parents[1] / "data" / "recorded_requests.jsonl"
_LENGTH = re.compile(r"<<(\d+) characters>>")
_FILLER = "the model reads this line and goes on to the next one with care "


def recorded(path):
    """Returns the bodies that were sent to this path, by client."""
    found = [json.loads(line, object_hook=_expanded) for line in DATA.read_text().splitlines()]
    return {one["client"]: one["body"] for one in found if one["path"] == path}


def _expanded(value):
    return {name: _text(inner) if isinstance(inner, str) else inner for name, inner in value.items()}


def _text(value):
    found = _LENGTH.fullmatch(value)
    return value if found is None else (_FILLER * (int(found[1]) // len(_FILLER) + 1))[: int(found[1])]
