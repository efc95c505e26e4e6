"""Pictures and films that no one has seen before: random pixels by a name. They need ``mlxd[vision]``."""

import base64
import hashlib
import io

import numpy as np

_SIDE = 112  # pixels


def picture_url(name: str, width: int = _SIDE, height: int = _SIDE) -> str:
    """Returns a PNG of ``width`` x ``height`` pixels as a ``data:`` URL; the same one for the same name."""
    from PIL import Image  # noqa: PLC0415 - an extra's, which benchmarks of texts do without

    file = io.BytesIO()
    Image.fromarray(_pixels(name, width, height)).save(file, "PNG")
    return _data_url("image/png", file.getvalue())


def film_url(name: str, frames: int = 8, rate: int = 4) -> str:
    """Returns a film of so many ``frames``, ``rate`` a second, as a ``data:`` URL; the same one for the same name."""
    import av  # noqa: PLC0415 - as above

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = _SIDE, _SIDE, "yuv420p"  # type: ignore[attr-defined]  # of a video
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(_pixels(f"{name} {number}", _SIDE, _SIDE), format="rgb24")
            container.mux(stream.encode(frame))  # type: ignore[attr-defined]  # as above
        container.mux(stream.encode())  # type: ignore[attr-defined]  # as above
    return _data_url("video/mp4", file.getvalue())


def _pixels(name: str, width: int, height: int) -> "np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]":
    """Returns squares of 16 pixels, each of one colour: a film's compression keeps them apart."""
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
    squares = np.random.default_rng(seed).integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    return squares.repeat(16, axis=0).repeat(16, axis=1)[:height, :width]


def _data_url(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
