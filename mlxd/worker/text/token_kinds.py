"""What a vocabulary says of single tokens, beside the text that decoding gives them."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class TokenKinds:
    """The kinds of tokens: ``controls`` are the control tokens, which have no text, with their spelling. ``raw_bytes`` gives the bytes of a
    token that may hold a part of a character, None for any other; without it, nothing is known of bytes.
    """

    controls: Mapping[int, str] = field(default_factory=dict)
    raw_bytes: Callable[[int], bytes | None] | None = None


def token_kinds(tokenizer: Any) -> TokenKinds:
    """Returns what one of transformers' tokenizers (or a wrapper around one) knows."""
    return TokenKinds(control_tokens(tokenizer), _raw_bytes(tokenizer))


def control_tokens(tokenizer: Any) -> dict[int, str]:
    """Returns the tokens that stand for no text, with their spelling."""
    added = {token: entry.content for token, entry in tokenizer.added_tokens_decoder.items() if entry.special}
    named = dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    return added | named


def _raw_bytes(tokenizer: Any) -> Callable[[int], bytes | None] | None:
    """Returns what reads a token's bytes, which are spelled in GPT-2's printable characters where the decoder is ``ByteLevel``, and as
    ``<0xE2>`` where it falls back to bytes. None where there is no decoder to ask.
    """
    inner = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None or inner.decoder is None:
        return None
    kinds = _kinds(json.loads(inner.decoder.__getstate__()))

    def raw_bytes(token: int) -> bytes | None:
        piece = inner.id_to_token(token)
        if piece is None:
            return None
        if "ByteLevel" in kinds:
            return byte_level(piece)
        match = _BYTE.fullmatch(piece) if "ByteFallback" in kinds else None
        return bytes([int(match[1], 16)]) if match else None

    return raw_bytes


def _kinds(decoder: dict[str, Any]) -> set[str]:
    return {decoder["type"]}.union(*(_kinds(part) for part in decoder.get("decoders", ())))


def byte_level(piece: str) -> bytes | None:
    """Returns the bytes of a piece that GPT-2's printable characters spell; None where it is spelled as it is."""
    try:
        return bytes(_BYTES[character] for character in piece)
    except KeyError:
        return None  # an added token, spelled as it is


def _byte_characters() -> dict[str, int]:
    """Returns GPT-2's printable stand-ins: bytes that print stand for themselves, the others for characters from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTES = _byte_characters()
