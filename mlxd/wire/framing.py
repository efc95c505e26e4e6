"""Frames on a stream socket: four bytes of length (big endian), then one msgpack message."""

import asyncio
import struct
from typing import Generic, TypeVar

import msgspec

from mlxd.errors import MlxdError
from mlxd.wire.messages import FromDaemon, FromWorker

MAX_FRAME = 256 * 1024 * 1024  # bytes; a longer one is a broken peer, not a long prompt
_LENGTH = struct.Struct(">I")

T = TypeVar("T")


class FramingError(MlxdError):
    """The peer sent something that is no frame of this protocol; the connection is of no more use."""

    code = "bad_frame"


class Codec(Generic[T]):
    """A codec that encodes any message, and decodes the union ``T`` that the peer may send."""

    def __init__(self, incoming: object) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(incoming)

    def encode(self, message: msgspec.Struct) -> memoryview:
        """Returns one frame, copied no more often than it must be: a long prompt is tens of MiB. Raises ``FramingError`` beyond
        ``MAX_FRAME``.
        """
        frame = bytearray(_LENGTH.size)
        self._encoder.encode_into(message, frame, _LENGTH.size)
        size = len(frame) - _LENGTH.size
        if size > MAX_FRAME:
            raise FramingError(f"a message of {size} bytes exceeds the frame limit of {MAX_FRAME}")
        _LENGTH.pack_into(frame, 0, size)
        return memoryview(frame)

    async def read(self, reader: asyncio.StreamReader) -> T | None:
        """Reads the next message; ``None`` at end of file. Raises ``FramingError`` on anything else."""
        try:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > MAX_FRAME:
                raise FramingError(f"a frame of {length} bytes exceeds the limit of {MAX_FRAME}")
            body = await reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        try:
            return self._decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise FramingError(f"cannot decode a frame of {length} bytes: {error}") from error


def daemon_codec() -> Codec[FromWorker]:
    """Returns the codec of the daemon's end."""
    return Codec(FromWorker)


def worker_codec() -> Codec[FromDaemon]:
    """Returns the codec of the worker's end."""
    return Codec(FromDaemon)
