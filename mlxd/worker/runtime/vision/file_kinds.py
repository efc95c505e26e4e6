"""What kind of file somebody sent, told by its first bytes: whatever its name or its headers said."""

from mlxd.errors import excerpt

_PICTURES = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"GIF87a": "GIF", b"GIF89a": "GIF", b"BM": "BMP"}
_OTHERS = {
    b"%PDF": "a PDF document",
    b"II*\x00": "a TIFF picture",
    b"MM\x00*": "a TIFF picture",
    b"\x00\x00\x01\x00": "an icon",
    b"8BPS": "a Photoshop picture",
    b"\x00\x00\x00\x0cJXL ": "a JPEG XL picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 picture",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"fLaC": "a sound recording",
    b"ID3": "a sound recording",
    b"#EXTM3U": "a playlist",
}
_BRANDS = {
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"hevc": "HEIC",
    b"heim": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
    b"avif": "AVIF",
    b"avis": "AVIF",
}
_RIFF = {b"WEBP": "WEBP", b"AVI ": "avi", b"WAVE": "a sound recording"}
_FILMS = {b"\x1aE\xdf\xa3": "matroska", b"OggS": "ogg", b"FLV\x01": "flv"}
_TS = 188  # bytes of a packet of an MPEG transport stream
_HEAD = 4096  # bytes that are looked at


def picture_format(data: bytes) -> str | None:
    """Returns the name of a picture's format, as Pillow has it, of those that are read here; None for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _PICTURES.items() if data.startswith(magic)), None)


def film_format(data: bytes) -> str | None:
    """Returns the name of a film's container, as FFmpeg has it, of those that are read here; None for anything else."""
    if data[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"} and data[8:12] not in _BRANDS:
        return "mov"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "avi"
    if data[:1] == b"G" and all(data[at : at + 1] in {b"G", b""} for at in range(0, 4 * _TS, _TS)) and len(data) > _TS:
        return "mpegts"
    return next((name for magic, name in _FILMS.items() if data.startswith(magic)), None)


def described(data: bytes) -> str:
    """Says for people what a file is."""
    if not data:
        return "an empty file"
    if name := picture_format(data):
        return f"a {name} picture"
    if data[4:8] == b"ftyp" and (brand := _BRANDS.get(data[8:12])):
        return f"a picture in {brand}"
    if film_format(data) is not None:
        return "a film"
    return _RIFF.get(data[8:12], "") if data[:4] == b"RIFF" and data[8:12] in _RIFF else _by_text(data)


def _by_text(data: bytes) -> str:
    for magic, name in _OTHERS.items():
        if data.startswith(magic):
            return name
    head = data[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<svg", b"<?xml")) and b"<svg" in head:
        return "an SVG drawing"
    if head.startswith((b"<!doctype html", b"<html")):
        return "a page of HTML"
    if head.startswith((b"{", b"[")):
        return "a text in JSON"
    return f"a file that begins with {excerpt(data[:8].hex(' '))}"
