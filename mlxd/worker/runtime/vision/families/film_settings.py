"""What a model's files say of films, and what becomes of the frames by that: as transformers' processors do, without torch."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import Media
from mlxd.worker.runtime.vision.families.clip import Clip, most_frames
from mlxd.worker.runtime.vision.families.family import SightFiles
from mlxd.worker.runtime.vision.film_sampling import FrameWish, SizeRule

_FPS = 2.0  # that all of Qwen's models were made for
_BICUBIC = Image.Resampling.BICUBIC


class FilmSettings:
    """What a model's files say of films."""

    def __init__(self, files: SightFiles, defaults: Mapping[str, Any]) -> None:
        def said(name: str, default: Any) -> Any:
            value = files.films.get(name)
            return default if value is None else value

        size = said("size", {})
        self.patch = int(said("patch_size", defaults["patch_size"]))
        self.merge = int(said("merge_size", 2))
        self.group = int(said("temporal_patch_size", 2))
        fewest = files.films.get("min_pixels") or size.get("shortest_edge") or defaults["shortest_edge"]
        most = files.films.get("max_pixels") or size.get("longest_edge") or defaults["longest_edge"]
        self.rule = SizeRule(self.patch * self.merge, int(fewest), int(most))
        self._fps = float(said("fps", _FPS))
        self._frames = (int(said("min_frames", 4)), int(said("max_frames", 768)))
        scale = float(said("rescale_factor", 1 / 255)) if said("do_rescale", default=True) else 1.0
        mean, deviation = (said("image_mean", 0.5), said("image_std", 0.5)) if said("do_normalize", default=True) else (0.0, 1.0)
        self._scale, self._mean, self._deviation = scale, np.asarray(mean, np.float32), np.asarray(deviation, np.float32)

    def wish(self, media: Media) -> FrameWish:
        """Returns how many frames are looked at. Raises ``InvalidRequestError``."""
        fps = self._fps if media.fps is None else media.fps
        if not 0 < fps < float("inf"):
            raise InvalidRequestError("fps has to be above 0", param=media.param)
        most = min(self._frames[1], most_frames(media))
        if most < 1:
            raise InvalidRequestError("max_frames has to be at least 1", param=media.param)
        return FrameWish(fps, min(self._frames[0], most), most, self.group)

    def patches(self, clip: Clip, size: Callable[[int, int], tuple[int, int]]) -> tuple[np.ndarray[Any, Any], tuple[int, int, int]]:
        """Returns ``[layers * rows * columns, values]``, and how many layers, rows and columns there are. The last frame of an odd number
        is seen twice.
        """
        frames = [self._resized(frame, size) for frame in clip.frames()]
        frames += [frames[-1]] * (-len(frames) % self.group)
        pixels = np.stack(frames).astype(np.float32) * np.float32(self._scale)
        pixels = (pixels - self._mean) / self._deviation
        layers, (rows, columns) = len(frames) // self.group, (length // self.patch for length in pixels.shape[1:3])
        cut = pixels.reshape(
            (layers, self.group, rows // self.merge, self.merge, self.patch, columns // self.merge, self.merge, self.patch, 3)
        )
        return cut.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7).reshape(layers * rows * columns, -1), (layers, rows, columns)

    @staticmethod
    def _resized(frame: np.ndarray[Any, Any], size: Callable[[int, int], tuple[int, int]]) -> np.ndarray[Any, Any]:
        height, width = size(*frame.shape[:2])
        if frame.shape[:2] == (height, width):
            return frame
        return np.asarray(Image.fromarray(frame).resize((width, height), _BICUBIC))
