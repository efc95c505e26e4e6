"""Decoding a large JSON text in turns: msgspec holds the interpreter for as long as it works, for a tenth of a second on 30 MiB of escapes.

Values that take more than a turn are made of pieces, parted at their commas; a long string is parted between two characters. Whatever
is wrong with the text is found by whoever decodes it in one go.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from mlxd.listener.json_shape import TURN, Extent

_LONGEST_ESCAPE = 12  # bytes: a pair of surrogates
_TRIALS = 4
_CONTINUES, _CONTINUATION = 0xC0, 0x80  # of the bytes of UTF-8, those that begin no character


class TurnDecoder:
    """A decoder of one text, of which the ``large`` values are known by where they begin."""

    def __init__(self, text: bytes | bytearray, large: Mapping[int, Extent]) -> None:
        self._text = text
        self._large = large
        self._begins = sorted(large)

    def value(self, extent: Extent) -> Any:
        """Returns what the extent says. Raises ``msgspec.DecodeError`` or ``UnicodeError`` where that is no JSON."""
        match bytes((self._text[extent.begin], self._text[extent.end - 1])):
            case b"[]":
                return [item for part in self._parts(extent) for item in self._array(*part)]
            case b"{}":
                return {name: item for part in self._parts(extent) for name, item in self._object(*part).items()}
            case b'""':
                return "".join(self._pieces(extent.begin + 1, extent.end - 1))
            case _:
                raise msgspec.DecodeError("its brackets do not match")

    def _parts(self, extent: Extent) -> Iterator[tuple[bytes, Extent | None]]:
        """Yields the text of each part, with null in the place of the large value at its end, and that value."""
        begin = extent.begin + 1
        for end in (*extent.cuts, extent.end - 1):
            large = self._first_large(begin, end)
            text = self._text[begin:end] if large is None else self._text[begin : large.begin] + b"null" + self._text[large.end : end]
            if extent.cuts and not text.strip():
                raise msgspec.DecodeError("there is nothing between two commas")
            yield bytes(text), large
            begin = end + 1

    def _first_large(self, begin: int, end: int) -> Extent | None:
        at = bisect_left(self._begins, begin)
        return self._large[self._begins[at]] if at < len(self._begins) and self._begins[at] < end else None

    def _array(self, text: bytes, large: Extent | None) -> list[Any]:
        items: list[Any] = msgspec.json.decode(b"[%b]" % text)
        if large is not None:
            items[-1] = self.value(large)
        return items

    def _object(self, text: bytes, large: Extent | None) -> dict[str, Any]:
        members: dict[str, Any] = msgspec.json.decode(b"{%b}" % text)
        if large is not None:
            members[next(reversed(members))] = self.value(large)
        return members

    def _pieces(self, begin: int, end: int) -> Iterator[str]:
        """Yields the characters of a string."""
        while end - begin > TURN:
            piece, begin = self._piece(begin)
            yield piece
        yield _characters(self._text[begin:end])

    def _piece(self, begin: int) -> tuple[str, int]:
        """Returns about a turn of characters, and where they end: where a piece can be decoded, no character is torn apart."""
        for end in self._ends(begin + TURN):
            try:
                return _characters(self._text[begin:end]), end
            except (msgspec.MsgspecError, UnicodeError):
                continue
        raise msgspec.DecodeError("a string has what is no character")

    def _ends(self, about: int) -> Iterator[int]:
        """Yields places before which a character may end: right before an escape, if there is one near."""
        escape = self._text.rfind(b"\\", about - _LONGEST_ESCAPE, about)
        if escape < 0:
            yield from (at for at in range(about, about - _TRIALS, -1) if self._text[at] & _CONTINUES != _CONTINUATION)
        for _ in range(_TRIALS):
            if escape >= 0:
                yield escape
                escape = self._text.rfind(b"\\", escape - _LONGEST_ESCAPE, escape)


def _characters(text: bytes | bytearray) -> str:
    return msgspec.json.decode(b'"%b"' % bytes(text), type=str)
