"""Files of films to frames: those that are looked at, and no others, so that hours of film take no more memory than these."""

import io
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from mlxd.errors import InvalidRequestError
from mlxd.worker.runtime.vision.file_kinds import described, film_format
from mlxd.worker.runtime.vision.film_sampling import FilmFacts
from mlxd.worker.runtime.vision.pictures import check_size

_WANTED = "send it as MP4, MOV, WebM, MKV, AVI, OGG or MPEG-TS"
# FFmpeg knows some two hundred, most of which nobody sends but who looks for a hole in them.
_CODECS = frozenset({"h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "mpeg1video", "mpeg2video", "mjpeg", "theora", "h263", "flv1", "prores"})
_PACKETS = 2_000_000  # of a film: 18 hours at 30 frames a second
_SECONDS = 60.0  # of processor time that the frames of one film may take
_RIGHT_ANGLES = {90: 1, 180: 2, 270: 3}
_LIKELY = (0.01, 1000.0)  # frames a second, where only the file's word is to be had
_ROUNDING = 0.25  # of a frame, by which a frame's time may be too late in its file
_RATE = 24.0  # where that is not likely

Frame = np.ndarray[Any, np.dtype[np.uint8]]  # [height, width, 3]


@dataclass(frozen=True)
class _Timeline:
    """When each frame is shown, in the stream's units, rising; and at which of them decoding may begin. Where a file does not say so, or
    says it of frames in another order, as AVI does, frames are only ``counted``.
    """

    shown: Sequence[int]
    begins: Sequence[int]
    counted: bool = False


@dataclass(frozen=True)
class _Source:
    """A file, and the name of its container."""

    data: bytes
    form: str
    max_pixels: int
    param: str

    @contextmanager
    def opened(self) -> Iterator[tuple[Any, Any]]:
        """Opens it at its beginning, with its first video track."""
        with av.open(io.BytesIO(self.data), format=self.form) as container:
            stream = _track(container, self.param)
            stream.codec_context.thread_count = 1  # others compute
            stream.codec_context.options = {"max_pixels": str(self.max_pixels)}  # a frame may be larger than the file said
            yield container, stream


class Film:
    """A film whose frames can be had by their numbers."""

    def __init__(self, source: _Source, facts: FilmFacts, timeline: _Timeline) -> None:
        self.facts = facts
        self._source = source
        self._timeline = timeline

    def frames(self, numbers: Sequence[int]) -> Iterator[Frame]:
        """Yields the frames of such ``numbers``, which rise: those that are seen at these times, where a film's rate varies."""
        times, done = [self._shown_at(number) for number in numbers], 0
        begins = self._timeline.begins
        until = time.thread_time() + _SECONDS
        with _blamed(self._source.param):
            while done < len(times):
                try:
                    for frame in self._decoded(times[done:], begins, until):
                        yield frame
                        done += 1
                except _LostError:
                    begins = begins[:1]  # from its beginning, then

    def _decoded(self, times: Sequence[int], begins: Sequence[int], until: float) -> Iterator[Frame]:
        with self._source.opened() as (container, stream):
            decoder = _Decoder(container, stream, _Timeline(self._timeline.shown, begins, self._timeline.counted))
            for at in times:
                yield decoder.frame(at, until, self._source.param)

    def _shown_at(self, number: int) -> int:
        """Returns when the frame is shown that is seen at the time that ``number`` has at an even rate."""
        shown = self._timeline.shown
        step = (shown[-1] - shown[0]) / max(1, len(shown) - 1)
        return shown[bisect_right(shown, shown[0] + (number + _ROUNDING) * step) - 1]


class _LostError(Exception):
    """A container was asked for a place, and went to a later one."""


class _Decoder:
    """What decodes from one frame to a later one, by way of the last place between them where decoding may begin."""

    def __init__(self, container: Any, stream: Any, timeline: _Timeline) -> None:
        self._container = container
        self._stream = stream
        self._timeline = timeline
        self._frames = enumerate(container.decode(stream))
        self._now = timeline.shown[0] - 1  # when the last frame is shown
        self._last: Any = None  # the frame that was decoded last

    def frame(self, at: int, until: float, param: str) -> Frame:
        self._approach(at)
        while self._last is None or self._now < at:
            following = next(self._frames, None)
            if following is None:
                break  # the file promised more than it has
            self._now = following[0] if self._timeline.counted else _time(following[1])
            self._check_place(at)
            self._last = following[1]
            if time.thread_time() > until:
                raise InvalidRequestError(f"to decode this film takes more than {_SECONDS:g} seconds: send a part of it", param=param)
        if self._last is None:
            raise InvalidRequestError("this film has no frame that can be decoded", param=param)
        return _pixels(self._last)

    def _approach(self, at: int) -> None:
        begins = self._timeline.begins
        place = bisect_right(begins, at) - 1
        if place > 0 and self._now < begins[place]:
            self._container.seek(begins[place], stream=self._stream, backward=True)
            self._frames, self._last = enumerate(self._container.decode(self._stream)), None

    def _check_place(self, at: int) -> None:
        if self._last is None and self._now > at and len(self._timeline.begins) > 1:
            raise _LostError


@contextmanager
def open_film(data: bytes, max_pixels: int, param: str) -> Iterator[Film]:
    """Opens a film, whose frames are counted but not decoded. The container is told by the file's first bytes, and is never one that names
    other files or addresses.

    Raises ``InvalidRequestError`` that says what is wrong with it, or what it is.
    """
    form = film_format(data)
    if form is None:
        raise InvalidRequestError(f"this is {described(data)}, which cannot be looked at as a film: {_WANTED}", param=param)
    source = _Source(data, form, max_pixels, param)
    with _blamed(param), source.opened() as (container, stream):
        width, height = stream.codec_context.width, stream.codec_context.height
        check_size(width, height, max_pixels, param)
        timeline = _timeline(container, stream, param)
        facts = FilmFacts(len(timeline.shown), _rate(stream, timeline), width, height)
    yield Film(source, facts, timeline)


@contextmanager
def _blamed(param: str) -> Iterator[None]:
    try:
        yield
    except (InvalidRequestError, _LostError):
        raise
    except MemoryError as error:
        raise InvalidRequestError("this film takes too much memory", param=param) from error
    except Exception as error:  # FFmpeg's own, and what PyAV makes of tracks that come and go
        said = getattr(error, "strerror", None) or error
        raise InvalidRequestError(f"this film is damaged, or in a form that is not known here: {said}", param=param) from error


def _track(container: Any, param: str) -> Any:
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue  # the cover of a recording
        if stream.codec_context is None or stream.time_base is None:
            raise InvalidRequestError("the video track of this film is in a form that is not known here", param=param)
        codec = stream.codec.canonical_name
        if codec not in _CODECS:
            raise InvalidRequestError(f"the video of this film is in the codec {codec}, which is not looked at here", param=param)
        return stream
    raise InvalidRequestError("this file has no video track", param=param)


def _timeline(container: Any, stream: Any, param: str) -> _Timeline:
    """Reads all packets, of which nothing is decoded: what a header says of their number is often wrong by one."""
    shown, begins, counted = list[int](), list[int](), container.format.name == "avi"
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard:
            continue
        if len(shown) >= _PACKETS:
            raise InvalidRequestError(f"this film has more than {_PACKETS} frames: send a part of it", param=param)
        counted = counted or packet.pts is None
        shown.append(packet.pts or 0)
        if packet.is_keyframe:
            begins.append(packet.pts or 0)
    if not shown:
        raise InvalidRequestError("this film has no frames", param=param)
    if counted:
        return _Timeline(range(len(shown)), [0], counted=True)
    return _Timeline(sorted(set(shown)), sorted(begins) or [min(shown)])


def _rate(stream: Any, timeline: _Timeline) -> float:
    """Returns frames a second: as the file says, unless its frames are far from that."""
    said = float(stream.average_rate or 0)
    lasts = 0.0 if timeline.counted else (timeline.shown[-1] - timeline.shown[0]) * float(stream.time_base)
    found = (len(timeline.shown) - 1) / lasts if lasts > 0 else 0.0
    if found and not 0.95 < said / found < 1.05:
        return round(found, 6)
    return round(said, 6) if _LIKELY[0] <= said <= _LIKELY[1] or found else _RATE


def _time(frame: Any) -> int:
    at = frame.pts if frame.pts is not None else frame.dts
    if at is None:
        raise ValueError("its frames have no times")
    return int(at)


def _pixels(frame: Any) -> Frame:
    """Returns a frame as its camera was held."""
    pixels: Frame = frame.to_ndarray(format="rgb24")
    turned = _RIGHT_ANGLES.get(round(frame.rotation) % 360, 0)
    return np.ascontiguousarray(np.rot90(pixels, turned)) if turned else pixels
