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
        self.factor, self.fewest, self.most = self.patch * self.merge, int(fewest), int(most)
        capped = said("cap_pixels_per_frame", default=False)
        self.most_tokens = int(said("max_video_tokens", defaults["max_video_tokens"])) if capped else None
        self._fps = float(said("fps", _FPS))
        self._frames = (int(said("min_frames", 4)), int(said("max_frames", 768)))
        scale = float(said("rescale_factor", 1 / 255)) if said("do_rescale", default=True) else 1.0
        mean, deviation = (said("image_mean", 0.5), said("image_std", 0.5)) if said("do_normalize", default=True) else (0.0, 1.0)
        self._scale, self._mean, self._deviation = scale, np.asarray(mean, np.float32), np.asarray(deviation, np.float32)

    def rule(self, most: int) -> SizeRule:
        """Returns the rule of sizes by which there are so many pixels at most."""
        return SizeRule(self.factor, self.fewest, most)

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
        is seen twice. Of the frames, no more than a layer's are kept meanwhile.
        """
        count, layers = len(clip.numbers), -(-len(clip.numbers) // self.group)
        made: np.ndarray[Any, Any] | None = None
        layer: list[np.ndarray[Any, Any]] = []
        shape = (0, 0)
        for number, frame in enumerate(clip.frames()):
            layer.append(self._resized(frame, size))
            if number == count - 1:
                layer += [layer[-1]] * (self.group - len(layer))
            if len(layer) == self.group:
                cut, shape = self._cut(np.stack(layer))
                made = np.empty((layers, *cut.shape), np.float32) if made is None else made
                made[number // self.group] = cut
                layer = []
        assert made is not None  # noqa: S101 - a clip has frames
        return made.reshape(-1, made.shape[-1]), (layers, *shape)

    def _cut(self, layer: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], tuple[int, int]]:
        """Returns the patches of one layer, ``[rows * columns, values]``, square by square of those that are merged."""
        pixels = (layer.astype(np.float32) * np.float32(self._scale) - self._mean) / self._deviation
        rows, columns = (length // self.patch for length in pixels.shape[1:3])
        sides = (rows // self.merge, self.merge, self.patch, columns // self.merge, self.merge, self.patch)
        patches = pixels.reshape((self.group, *sides, 3)).transpose(1, 4, 2, 5, 7, 0, 3, 6)
        return patches.reshape(rows * columns, -1), (rows, columns)

    @staticmethod
    def _resized(frame: np.ndarray[Any, Any], size: Callable[[int, int], tuple[int, int]]) -> np.ndarray[Any, Any]:
        height, width = size(*frame.shape[:2])
        if frame.shape[:2] == (height, width):
            return frame
        return np.asarray(Image.fromarray(frame).resize((width, height), _BICUBIC))
