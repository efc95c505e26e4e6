"""One safetensors file: eight bytes of header length (little endian), a JSON header, then the tensors' bytes."""

import json
import struct
from pathlib import Path
from typing import Any

from mlxd.errors import ModelSourceError

_LENGTH = struct.Struct("<Q")
_LONGEST_HEADER = 100_000_000  # bytes, by the format's definition
_AGAIN = "fetch or copy the model again"


def check_safetensors(path: Path) -> None:
    """Raise ``ModelSourceError`` unless the header parses and the file is exactly as long as the header says.

    Raises ``OSError`` where the file cannot be read at all.
    """
    if path.is_symlink() and not path.exists():
        raise ModelSourceError(f"{path} is a link to {path.readlink()}, which does not exist; {_AGAIN}")
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(_LENGTH.size)
        if start == b"version ":  # the first words of a pointer that Git LFS leaves for a file it has not fetched
            raise ModelSourceError(f"{path} is a Git LFS pointer, not the weights; run 'git lfs pull' in the model's directory")
        if len(start) < _LENGTH.size:
            raise ModelSourceError(f"{path} is cut short: it has {size} bytes, fewer than a header; {_AGAIN}")
        (length,) = _LENGTH.unpack(start)
        if length > _LONGEST_HEADER:
            raise ModelSourceError(f"{path} is no safetensors file: it begins with a header length of {length} bytes; {_AGAIN}")
        text = file.read(length)
    if len(text) < length:
        raise ModelSourceError(f"{path} is cut short: it has {size} bytes and its header alone needs {_LENGTH.size + length}; {_AGAIN}")
    expected = _LENGTH.size + length + _end_of_data(path, _parsed(path, text))
    if size < expected:
        raise ModelSourceError(f"{path} is cut short: it has {size} bytes and its header promises {expected}; {_AGAIN}")
    if size > expected:
        raise ModelSourceError(f"{path} is damaged: it has {size} bytes and its header promises only {expected}; {_AGAIN}")


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelSourceError(f"{path} has a damaged header ({error}); {_AGAIN}") from error
    if not isinstance(header, dict):
        raise ModelSourceError(f"{path} has a damaged header (not a JSON object); {_AGAIN}")
    return header


def _end_of_data(path: Path, header: dict[str, Any]) -> int:
    """Where the last tensor ends, in bytes after the header."""
    end = 0
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        match entry:
            case {"data_offsets": [int(first), int(last)]} if 0 <= first <= last:
                end = max(end, last)
            case _:
                raise ModelSourceError(f"{path} has a damaged header (tensor {name!r} has no valid data_offsets); {_AGAIN}")
    return end
