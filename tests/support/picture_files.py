"""Files of pictures: good ones of every kind, and those that are made to hurt, or are none."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image


def saved(picture: Image.Image, form: str = "PNG", **options) -> bytes:
    """Returns the file of a picture."""
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def waves(width: int = 40, height: int = 24, shift: int = 0) -> Image.Image:
    """Returns a picture of which no two corners are alike."""
    rows, columns = np.mgrid[0:height, 0:width]
    channels = [(columns * 5 + shift) % 256, (rows * 9 + shift) % 256, (rows * columns + shift) % 256]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def chunk(kind: bytes, data: bytes) -> bytes:
    """Returns a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, pixels: bytes = b"") -> bytes:
    """Returns a PNG in shades of grey of which the header says such a size, whatever its pixels are."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *chunks, chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")])


def hostile_pictures() -> Iterator[tuple[str, bytes, str]]:
    """Yields the name of each, the file, and what is said of it."""
    whole = {form: saved(waves(200, 120), form) for form in ("PNG", "JPEG", "GIF", "WEBP", "BMP")}
    yield "empty", b"", "an empty file"
    yield "a byte", b"\xff", "begins with ff"
    yield "words", b"hello, here is a picture", "begins with 68 65"
    yield "HTML", b"\n<!DOCTYPE html><html><body>404</body></html>", "a page of HTML"
    yield "JSON", b'{"error": "no such picture"}', "a text in JSON"
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', "an SVG drawing"
    yield "SVG in XML", b'\xef\xbb\xbf<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "b">]><svg/>', "an SVG drawing"
    yield "HEIC", b"\x00\x00\x00\x18ftypheic" + bytes(40), "a picture in HEIC"
    yield "HEIC by its other brand", b"\x00\x00\x00\x18ftypmif1" + bytes(40), "a picture in HEIC"
    yield "AVIF", b"\x00\x00\x00\x18ftypavif" + bytes(40), "a picture in AVIF"
    yield "TIFF", saved(waves(), "TIFF"), "a TIFF picture"
    yield "an icon", saved(waves(), "ICO"), "an icon"
    yield "JPEG 2000", b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(40), "a JPEG 2000 picture"
    yield "JPEG XL", b"\xff\x0a" + bytes(40), "a JPEG XL picture"
    yield "Photoshop", b"8BPS" + bytes(40), "a Photoshop picture"
    yield "PDF", b"%PDF-1.7\n%\xe2\xe3", "a PDF document"
    yield "a ZIP archive", b"PK\x03\x04" + bytes(40), "a ZIP archive"
    yield "a recording", b"RIFF\x24\x00\x00\x00WAVEfmt ", "a sound recording"
    yield "a film", b"\x00\x00\x00\x18ftypmp42" + bytes(40), "a film"
    for form, file in whole.items():
        yield f"{form} cut in its pixels", file[: len(file) // 2], f"this {form} picture is damaged"
        yield f"{form} cut in its header", file[:14], f"this {form} picture is damaged"
    for form, magic in (
        ("JPEG", b"\xff\xd8\xff\xe0"),
        ("PNG", b"\x89PNG\r\n\x1a\n"),
        ("GIF", b"GIF89a"),
        ("WEBP", b"RIFF\xff\xff\0\0WEBPVP8 "),
    ):
        yield (
            f"noise behind the magic of {form}",
            magic + np.random.default_rng(7).bytes(5000),
            f"this {form} picture is damaged|is more than",
        )
    broken = bytearray(whole["PNG"])
    broken[len(broken) // 2] ^= 0xFF
    yield "PNG with a flipped byte", bytes(broken), "this PNG picture is damaged"
    yield "PNG whose header is of no use", whole["PNG"].replace(b"IHDR", b"IHDX"), "this PNG picture is damaged"
    yield "PNG without pixels", png(10, 10), "this PNG picture is damaged"
    yield "PNG of no width", png(0, 10), "this PNG picture is damaged|no size"
    yield "PNG of one colour, 20,000 x 20,000", one_colour(20_000), "20000 x 20000 is more than the 4000000 pixels"
    yield "PNG of a size that is none", png(2**31 - 1, 2**31 - 1), "is more than the 4000000 pixels"
    yield (
        "GIF of 65,535 x 65,535",
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x3b",
        "is more than the 4000000|is damaged",
    )
    yield "BMP of 60,000 x 60,000", bmp(60_000, 60_000), "is more than the 4000000 pixels"
    yield "BMP upside down and endless", bmp(100, -(2**31)), "is more than|is damaged"
    yield "WebP of 16,384 x 16,384", webp(16_384, 16_384), "is more than the 4000000 pixels|is damaged"
    yield "a line", saved(waves(10_000, 1)), "10000 x 1 is more than 200 times as long"
    yield "a line, down", saved(waves(1, 10_000)), "1 x 10000 is more than 200 times as long"
    yield "PNG with 64 MiB of notes", png(4, 4, notes(b"zTXt"), pixels=bytes(20)), "this PNG picture is damaged"
    yield "PNG with 64 MiB of colours", png(4, 4, notes(b"iCCP"), pixels=bytes(20)), ""
    yield "JPEG in 200 layers", layered(200), "more than 100 layers"


def one_colour(side: int) -> bytes:
    """Returns a PNG of that side, whose file is a thousandth of its pixels."""
    return png(side, side, pixels=bytes(side * 1000))


def bmp(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 14 + len(header), 0, 0, 54) + header + bytes(64)


def webp(width: int, height: int) -> bytes:
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + canvas + b"VP8 " + struct.pack("<I", 20) + bytes(20)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def notes(kind: bytes) -> bytes:
    squeezed = zlib.compressobj(9)
    text = b"".join([*(squeezed.compress(bytes(2**20)) for _ in range(64)), squeezed.flush()])
    return chunk(kind, b"Comment\0\0" + text)


def layered(count: int) -> bytes:
    """Returns a progressive JPEG that repeats one of its layers."""
    file = saved(waves(64, 64), "JPEG", progressive=True)
    last = file.rindex(b"\xff\xda")
    return file[:last] + file[last:-2] * count + file[-2:]
