"""Content codings: a body that is sent compressed, unpacked within bounds.

What is not understood is refused, never taken for plain text.
"""

import zlib
from collections.abc import Callable, Sequence

from aiohttp import web

from mlxd.errors import ContentEncodingError, InvalidRequestError, excerpt

_HEADER = "Content-Encoding"
_PIECE = 256 * 1024  # bytes unpacked at a time
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
TAKEN = "gzip, deflate"


def check_encoding(request: web.Request) -> None:
    """Raises ``ContentEncodingError`` for a coding, or a chain of them, that is not understood here."""
    if request.body_exists:
        _coding(_sent(request))


def decoder_of(request: web.Request) -> "Decoder | None":
    """Returns what unpacks the request's body; None where it is plain. Raises as ``check_encoding`` does."""
    return decoder_for(_sent(request))


def decoder_for(codings: Sequence[str]) -> "Decoder | None":
    """Returns what unpacks a body whose headers have these codings. Raises as ``decoder_of`` does."""
    coding = _coding(codings)
    return Decoder(_WINDOWS[coding], coding) if coding else None


def _sent(request: web.Request) -> Sequence[str]:
    return request.headers.getall(_HEADER, [])


def _coding(codings: Sequence[str]) -> str:
    listed = ",".join(codings)
    names = [name for part in listed.split(",") if (name := part.strip().lower().removeprefix("x-")) not in ("", "identity")]
    if len(names) > 1 or any(name not in _WINDOWS for name in names):
        raise ContentEncodingError(f'the {_HEADER} "{excerpt(listed)}" is not understood here; send the body plain, or as one of: {TAKEN}')
    return names[0] if names else ""


class Decoder:
    """An unpacker of one body, which is fed in order; ``finish`` follows the last piece."""

    def __init__(self, window: Callable[[bytes], int], coding: str) -> None:
        self._window = window
        self._coding = coding
        self._unpacker: zlib._Decompress | None = None
        self._head = b""

    def feed(self, data: bytes, most: int) -> bytes:
        """Returns what the data unpacks to, and a little more than ``most`` bytes at most. Raises ``InvalidRequestError``."""
        found = bytearray()
        data = self._head + data
        self._head = b""
        while data and len(found) <= most:
            if self._unpacker is None:
                if len(data) < 2:  # what is unpacked is told by two bytes
                    self._head = data
                    break
                self._unpacker = zlib.decompressobj(self._window(data[:2]))
            found += self._unpacked(self._unpacker, data)
            data = self._unpacker.unconsumed_tail or self._next_member(self._unpacker)
        return bytes(found)

    def finish(self) -> None:
        """Raises ``InvalidRequestError`` where the body ended too early."""
        if self._head or (self._unpacker is not None and not self._unpacker.eof):
            raise InvalidRequestError(f"the body cannot be read: its {self._coding} data ends too early")

    def _unpacked(self, unpacker: "zlib._Decompress", data: bytes) -> bytes:
        try:
            return unpacker.decompress(data, _PIECE)
        except zlib.error:
            raise InvalidRequestError(f"the body cannot be read: it is no {self._coding} data") from None

    def _next_member(self, unpacker: "zlib._Decompress") -> bytes:
        """Returns what follows the end: of gzip, more of the same may (RFC 1952, 2.2); of deflate, nothing may."""
        rest = unpacker.unused_data
        if rest and self._coding != "gzip":
            raise InvalidRequestError(f"the body cannot be read: something follows its {self._coding} data")
        if rest:
            self._unpacker = None
        return rest


def _deflate_window(head: bytes) -> int:
    """Returns the window of zlib's format (RFC 1950), or that of the bare stream, which some clients send."""
    is_zlib = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head, "big") % 31 == 0
    return zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS


_WINDOWS: dict[str, Callable[[bytes], int]] = {"gzip": lambda _: _GZIP_WINDOW, "deflate": _deflate_window}
