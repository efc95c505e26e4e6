"""Files of films to frames: those that are looked at, and no others, so that hours of film take no more memory than these."""

import io
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import av
import av.error
import numpy as np

from mlxd.errors import InvalidRequestError
from mlxd.worker.runtime.vision.file_kinds import described, film_format
from mlxd.worker.runtime.vision.film_sampling import FilmFacts
from mlxd.worker.runtime.vision.pictures import check_size

_WANTED = "send it as MP4, MOV, WebM, MKV, AVI, OGG or MPEG-TS"
_PACKETS = 2_000_000  # of a film: 18 hours at 30 frames a second
_SECONDS = 60.0  # of processor time that the frames of one film may take
_RIGHT_ANGLES = {90: 1, 180: 2, 270: 3}
_LIKELY = (0.5, 200.0)  # frames a second, if a file says nothing better

Frame = np.ndarray[Any, np.dtype[np.uint8]]  # [height, width, 3]


@dataclass(frozen=True)
class _Timeline:
    """When each frame is shown, in the stream's units, rising; and at which of them decoding may begin."""

    shown: Sequence[int]
    begins: Sequence[int]


class Film:
    """A film whose frames can be had by their numbers. One thread reads it at a time."""

    def __init__(self, container: Any, stream: Any, timeline: _Timeline, param: str) -> None:
        self._container = container
        self._stream = stream
        self._timeline = timeline
        self._param = param
        self.facts = FilmFacts(len(timeline.shown), _rate(stream, timeline), stream.codec_context.width, stream.codec_context.height)

    def frames(self, numbers: Sequence[int]) -> Iterator[Frame]:
        """Yields the frames of such ``numbers``, which rise: those that are seen at these times, where a film's rate varies."""
        with _blamed(self._param):
            yield from self._decoded([self._shown_at(number) for number in numbers])

    def _shown_at(self, number: int) -> int:
        """Returns when the frame is shown that is seen at the time that ``number`` has at an even rate."""
        shown = self._timeline.shown
        unit = float(self._stream.time_base) * self.facts.rate  # frames
        at = shown[0] + (number + 0.5) / unit
        return shown[max(0, bisect_right(shown, at) - 1)]

    def _decoded(self, times: Sequence[int]) -> Iterator[Frame]:
        until = time.thread_time() + _SECONDS
        decoder = _Decoder(self._container, self._stream, self._timeline.begins)
        for at in times:
            yield decoder.frame(at, until, self._param)


class _Decoder:
    """What decodes from one frame to a later one, by way of the last place between them where decoding may begin."""

    def __init__(self, container: Any, stream: Any, begins: Sequence[int]) -> None:
        self._container = container
        self._stream = stream
        self._begins = begins
        self._frames: Iterator[Any] = iter(())
        self._last: Any = None  # the frame that was decoded last

    def frame(self, at: int, until: float, param: str) -> Frame:
        self._approach(at)
        while self._last is None or _time(self._last) < at:
            following = next(self._frames, None)
            if following is None:
                break  # the file promised more than it has
            self._last = following
            if time.thread_time() > until:
                raise InvalidRequestError(f"to decode this film takes more than {_SECONDS:g} seconds: send a part of it", param=param)
        if self._last is None:
            raise InvalidRequestError("this film has no frame that can be decoded", param=param)
        return _pixels(self._last)

    def _approach(self, at: int) -> None:
        begin = self._begins[max(0, bisect_right(self._begins, at) - 1)]
        if self._last is None or _time(self._last) < begin:
            self._container.seek(begin, stream=self._stream, backward=True)
            self._frames = self._container.decode(self._stream)


@contextmanager
def open_film(data: bytes, max_pixels: int, param: str) -> Iterator[Film]:
    """Opens a film, whose frames are counted but not decoded. The container is told by the file's first bytes, and is never one that names
    other files or addresses.

    Raises ``InvalidRequestError`` that says what is wrong with it, or what it is.
    """
    form = film_format(data)
    if form is None:
        raise InvalidRequestError(f"this is {described(data)}, which cannot be looked at as a film: {_WANTED}", param=param)
    with _blamed(param), av.open(io.BytesIO(data), format=form) as container:
        stream = _track(container, param)
        check_size(stream.codec_context.width, stream.codec_context.height, max_pixels, param)
        stream.codec_context.thread_count = 1  # others compute
        stream.codec_context.options = {"max_pixels": str(max_pixels)}  # a frame may be larger than the file said
        timeline = _timeline(container, stream, param)
        yield Film(container, stream, timeline, param)


@contextmanager
def _blamed(param: str) -> Iterator[None]:
    try:
        yield
    except InvalidRequestError:
        raise
    except (av.error.FFmpegError, ValueError, OverflowError, EOFError) as error:
        raise InvalidRequestError(f"this film is damaged, or in a form that is not known here: {error}", param=param) from error
    except MemoryError as error:
        raise InvalidRequestError("this film takes too much memory", param=param) from error


def _track(container: Any, param: str) -> Any:
    for stream in container.streams.video:
        if "ATTACHED_PIC" not in str(stream.disposition).upper():
            return stream
    raise InvalidRequestError("this file has no video track", param=param)


def _timeline(container: Any, stream: Any, param: str) -> _Timeline:
    """Reads all packets, of which nothing is decoded: what a header says of their number is often wrong by one."""
    shown, begins = set[int](), list[int]()
    for count, packet in enumerate(container.demux(stream)):
        if count > _PACKETS:
            raise InvalidRequestError(f"this film has more than {_PACKETS} frames: send a part of it", param=param)
        at = packet.pts if packet.pts is not None else packet.dts
        if at is None or packet.size == 0 or packet.is_discard:
            continue
        shown.add(at)
        if packet.is_keyframe:
            begins.append(at)
    if not shown:
        raise InvalidRequestError("this film has no frames", param=param)
    return _Timeline(sorted(shown), sorted(begins) or [min(shown)])


def _rate(stream: Any, timeline: _Timeline) -> float:
    """Returns frames a second: as the file says, unless its frames are far from that."""
    said = float(stream.average_rate or 0)
    lasts = (timeline.shown[-1] - timeline.shown[0]) * float(stream.time_base)
    found = (len(timeline.shown) - 1) / lasts if lasts > 0 else 0.0
    if found and not 0.95 < said / found < 1.05:
        return found
    return said if _LIKELY[0] <= said <= _LIKELY[1] or found else 24.0


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
