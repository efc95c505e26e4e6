"""Files of films: made anew, of frames that are told apart by how bright they are; and those that are none."""

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import numpy as np

STEP = 7  # by which each frame is brighter than the one before it, up to black again


def filmed(
    form: str = "mp4", codec: str = "libx264", *, frames: int = 30, rate: int = 10, size=(64, 48), times: Sequence[int] = ()
) -> bytes:
    """Returns a film whose decoding may begin at every twelfth frame. ``times`` are the milliseconds at which its frames are shown."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 12
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), brightness(number), np.uint8), format="rgb24")
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def brightness(number: int) -> int:
    return (number * STEP) % 256


def recorded(form: str = "mp4", codec: str = "aac") -> bytes:
    """Returns a recording: a file that could be a film, but has no picture."""
    file = io.BytesIO()
    with av.open(file, "w", format=form) as container:
        stream = container.add_stream(codec, rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def hostile_films() -> Iterator[tuple[str, bytes, str]]:
    """Yields the name of each, the file, and what is said of it."""
    whole = {"MP4": filmed(), "Matroska": filmed("matroska"), "AVI": filmed("avi", "mpeg4"), "MPEG-TS": filmed("mpegts")}
    yield "nothing", b"", "an empty file"
    yield "a picture", b"\x89PNG\r\n\x1a\n" + bytes(40), "a PNG picture"
    yield "HTML", b"<html>", "a page of HTML"
    yield "a playlist that names a file", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "a playlist"
    yield "a list of files", b"ffconcat version 1.0\nfile /etc/passwd\n", "begins with"
    yield "a description of a stream", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n", "begins with"
    yield "a manifest", b'<?xml version="1.0"?><MPD><BaseURL>http://127.0.0.1/</BaseURL></MPD>', "begins with"
    yield "a recording in MP4", recorded(), "no video track"
    for form, file in whole.items():
        yield f"{form} of which the beginning is there", file[:200], "is damaged|no video track|no frames"
        yield (
            f"{form} with noise behind its head",
            file[:64] + np.random.default_rng(3).bytes(4000),
            "is damaged|no video track|no frame|begins with",
        )
    yield "a film in a codec for archives", filmed("avi", "ffv1", frames=2), "in the codec ffv1, which is not looked at here"
    yield "MP4 without its index", whole["MP4"][: len(whole["MP4"]) // 2], "is damaged"
    yield "a large film", filmed(frames=1, size=(4096, 2160)), "4096 x 2160 is more than the 4000000 pixels"
    yield "a film as narrow as a line", filmed("matroska", "mpeg4", frames=1, size=(4000, 8)), "more than 200 times as long"
