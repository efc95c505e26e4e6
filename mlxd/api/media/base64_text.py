"""Base64, read strictly: what two readers could understand differently is refused."""

import binascii
from collections.abc import Iterator

from mlxd.errors import InvalidRequestError

_PIECE = 2**20  # characters, a multiple of four: between pieces other threads have their turn
_EXPECTED = 'is no valid base64: letters, digits, "+" and "/", nothing between them, and "=" at the end up to a multiple of four characters'


def decoded(text: str) -> bytes:
    """Returns the bytes. Raises ``InvalidRequestError`` that goes on after the name of the part."""
    try:
        return b"".join(_pieces(text))
    except ValueError:
        raise InvalidRequestError(_EXPECTED) from None


def _pieces(text: str) -> Iterator[bytes]:
    if len(text) % 4 or text.endswith("==="):
        raise ValueError("it was cut, or filled with too much")
    for start in range(0, len(text), _PIECE):
        piece = text[start : start + _PIECE]
        if piece.endswith("=") and start + _PIECE < len(text):
            raise ValueError("something follows the end")
        yield binascii.a2b_base64(piece, strict_mode=True)
