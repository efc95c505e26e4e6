"""JSON values as the texts that they are written as."""

from typing import Any

import msgspec


def json_text(value: Any) -> str:
    """Returns the JSON text of a value that was read from JSON."""
    return msgspec.json.encode(value).decode()
