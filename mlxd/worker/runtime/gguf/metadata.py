"""The key-value pairs of a GGUF file, as ``mx.load`` gives them, read with types."""

from pathlib import Path
from typing import Any

import mlx.core as mx

from mlxd.errors import ModelSourceError


class Metadata:
    """The pairs of ``path``. Numbers arrive as arrays of any type, texts as ``str``, lists of texts as ``list``.

    Every reader raises ``ModelSourceError`` for a key that is absent (without a default) or of another type.
    """

    def __init__(self, path: Path, pairs: dict[str, Any]) -> None:
        self.path = path
        self._pairs = pairs

    def __contains__(self, key: str) -> bool:
        return key in self._pairs

    def text(self, key: str) -> str:
        value = self._pairs.get(key)
        if not isinstance(value, str):
            raise self._missing(key, "a string")
        return value

    def texts(self, key: str) -> list[str]:
        value = self._pairs.get(key)
        if not isinstance(value, list):
            raise self._missing(key, "a list of strings")
        return value

    def integer(self, key: str, default: int | None = None) -> int:
        value = self._pairs.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, mx.array) or value.ndim != 0:
            raise self._missing(key, "a number")
        return int(_item(value))

    def number(self, key: str, default: float | None = None) -> float:
        """Returns a number kept as float32, in the fewest digits that say so: 1e-05, not 9.999999747e-06."""
        value = self._pairs.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, mx.array) or value.ndim != 0:
            raise self._missing(key, "a number")
        return float(f"{_item(value):.7g}")

    def integers(self, key: str) -> list[int]:
        value = self._pairs.get(key)
        if not isinstance(value, mx.array) or value.ndim != 1:
            raise self._missing(key, "a list of numbers")
        numbers: Any = value.tolist()
        return [int(number) for number in numbers]

    def _missing(self, key: str, kind: str) -> ModelSourceError:
        return ModelSourceError(f"{self.path} lacks {key} ({kind}) in its metadata; it is not a GGUF file that mlxd can convert")


def _item(value: mx.array) -> Any:
    return value.item()
