"""One safetensors file: eight bytes of header length (little endian), a JSON header, then the tensors' bytes."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.json_document import AGAIN, check_is_file, shown

_LENGTH = struct.Struct("<Q")
_LONGEST_HEADER = 100_000_000  # bytes, by the format's definition
_NOT_A_TENSOR = "__metadata__"

_BYTES = {  # of one element, for every type that MLX reads
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E8M0"), 1),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 2),
    **dict.fromkeys(("I32", "U32", "F32"), 4),
    **dict.fromkeys(("I64", "U64", "C64"), 8),
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: its bytes, little endian and in C order, are those from ``start`` on."""

    name: str
    dtype: str  # as the format names it
    shape: tuple[int, ...]
    start: int
    size: int  # bytes


def read_tensor_names(path: Path) -> frozenset[str]:
    """Returns the names of the tensors in the file, which is exactly as long as its header says.

    Raises ``ModelSourceError`` for a damaged file, and ``OSError`` where it cannot be read at all.
    """
    return frozenset(read_tensors(path))


def read_tensors(path: Path) -> dict[str, StoredTensor]:
    """Returns the tensors in the file by their names, and where they are; their values are not read. Raises as ``read_tensor_names``."""
    check_is_file(path)
    size = path.stat().st_size
    text = _header_text(path, size)
    header = _parsed(path, text)
    tensors = {name: entry for name, entry in header.items() if name != _NOT_A_TENSOR}
    begin = _LENGTH.size + len(text)
    expected = begin + max((_end(path, name, entry) for name, entry in tensors.items()), default=0)
    if size < expected:
        raise ModelSourceError(f"{path} is cut short: it has {size} bytes and its header promises {expected}; {AGAIN}")
    if size > expected:
        raise ModelSourceError(f"{path} is damaged: it has {size} bytes and its header promises only {expected}; {AGAIN}")
    return {name: _stored(name, entry, begin) for name, entry in tensors.items()}


def _stored(name: str, entry: dict[str, Any], begin: int) -> StoredTensor:
    first, last = entry["data_offsets"]
    return StoredTensor(name, entry["dtype"], tuple(entry["shape"]), begin + first, last - first)


def _header_text(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        start = file.read(_LENGTH.size)
        if start == b"version ":  # the first words of a pointer that Git LFS leaves for a file it has not fetched
            raise ModelSourceError(f"{path} is a Git LFS pointer, not the weights; run 'git lfs pull' in the model's directory")
        if len(start) < _LENGTH.size:
            raise ModelSourceError(f"{path} is cut short: it has {size} bytes, fewer than a header; {AGAIN}")
        (length,) = _LENGTH.unpack(start)
        if length > _LONGEST_HEADER:
            raise ModelSourceError(f"{path} is no safetensors file: it begins with a header length of {length} bytes; {AGAIN}")
        text = file.read(length)
    if len(text) < length:
        raise ModelSourceError(f"{path} is cut short: it has {size} bytes and its header alone needs {_LENGTH.size + length}; {AGAIN}")
    return text


def _parsed(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelSourceError(f"{path} has a damaged header ({error}); {AGAIN}") from error
    if not isinstance(header, dict):
        raise ModelSourceError(f"{path} has a damaged header (not a JSON object); {AGAIN}")
    return header


def _end(path: Path, name: str, entry: object) -> int:
    """Returns where a tensor ends, in bytes after the header. Raises ``ModelSourceError`` where its type, its shape and its place do not
    agree.
    """
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(first), int(last)]} if 0 <= first <= last:
            pass
        case _:
            raise ModelSourceError(f"{path} has a damaged header (tensor {name!r} has no valid dtype, shape and data_offsets); {AGAIN}")
    if dtype not in _BYTES:
        raise ModelSourceError(f"{path}: tensor {name!r} is of type {shown(dtype)}, which MLX does not read; convert the model for MLX")
    if not all(isinstance(length, int) and length >= 0 for length in shape):
        raise ModelSourceError(f"{path} has a damaged header (tensor {name!r} has the shape {shown(shape)}); {AGAIN}")
    if math.prod(shape) * _BYTES[dtype] != last - first:
        what = f"{dtype} of shape {shown(shape)} does not fill its {last - first} bytes"
        raise ModelSourceError(f"{path} has a damaged header (tensor {name!r}: {what}); {AGAIN}")
    return last
