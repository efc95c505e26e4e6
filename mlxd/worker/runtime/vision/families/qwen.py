"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: pictures of any size in squares of patches, and films."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from typing_extensions import override

from mlxd.errors import ContextLengthError, InvalidRequestError
from mlxd.media_terms import Media, MediaKind
from mlxd.worker.encoded_prompt import Grid
from mlxd.worker.runtime.vision.families.clip import Clip, open_clip
from mlxd.worker.runtime.vision.families.family import LOW_PIXELS, Detail, Family, Run, SightFiles, made
from mlxd.worker.runtime.vision.families.film_settings import FilmSettings
from mlxd.worker.runtime.vision.families.picture_processor import PictureProcessor
from mlxd.worker.runtime.vision.film_sampling import FilmFacts, FrameWish, SizeRule, spread, stepped
from mlxd.worker.text.media_processor import SeenMedia

_PICTURE, _FILM = "<|image_pad|>", "<|video_pad|>"
_MOST_PIXELS = 50_000_000  # of all frames that are looked at, as large as the model gets them: 600 MB
_SHARE = 0.9  # of a context, for films
_LEEWAY = 1.05  # above the fewest pixels of a frame
_OPENS, _CLOSES = "<|vision_start|>", "<|vision_end|>"

Sampling = Callable[[FilmFacts, FrameWish], list[int]]


class QwenFamily(Family):
    """The base of them all. Of films, two frames each become one layer of patches. ``sampling`` chooses the frames."""

    sampling: Sampling

    def __init__(self, files: SightFiles) -> None:
        self.placeholders = {MediaKind.IMAGE: _PICTURE, MediaKind.VIDEO: _FILM}
        self.fillers = {_PICTURE: files.token(_PICTURE), _FILM: files.token(_FILM)}
        self._pictures = PictureProcessor(files)
        self._merge = int(self._pictures.merge_size)
        self._films = FilmSettings(files, self.defaults)
        self._context_length = files.context_length

    @property
    @abstractmethod
    def defaults(self) -> Mapping[str, Any]:
        """Returns what holds where the model's files say nothing of films."""

    @abstractmethod
    def pace(self, clip: Clip) -> float:
        """Returns the positions from one layer to the next."""

    @abstractmethod
    def told(self, grid: Grid, clip: Clip) -> tuple[str, Sequence[Run]]:
        """Returns what stands for a film, and its runs."""

    @abstractmethod
    def size(self, frames: int, height: int, width: int) -> tuple[int, int]:
        """Returns height and width that each of so many frames gets."""

    @override
    def picture(self, picture: Image.Image, detail: Detail) -> SeenMedia:
        size = _bounds(self._pictures.size, detail)
        arrays = self._pictures.process(self._resized(picture, size), size=size)
        times, rows, columns = map(int, arrays["image_grid_thw"][0])
        grid = Grid(times, rows // self._merge, columns // self._merge)
        tensors = {name: arrays[name] for name in ("pixel_values", "image_grid_thw")}
        return made(_PICTURE, [Run(grid.times * grid.rows * grid.columns, grid)], tensors)

    def _resized(self, picture: Image.Image, size: Mapping[str, int]) -> Image.Image:
        factor = int(self._pictures.patch_size) * self._merge
        rule = SizeRule(factor, size["shortest_edge"], size["longest_edge"])
        height, width = rule.fit(picture.height, picture.width)
        is_settled = rule.fit(height, width) == (height, width)  # where the shorter side is a single patch, it may not be
        return self._pictures.resized(picture, height, width) if is_settled else picture

    @override
    def film(self, media: Media) -> SeenMedia:
        settings = self._films
        wish = settings.wish(media)
        with open_clip(media, lambda facts: self.sampling(facts, wish)) as clip:
            count = len(clip.numbers)
            rows, columns = self.size(count, clip.facts.height, clip.facts.width)
            self._check_tokens(count, rows, columns, media)
            patches, (times, down, across) = settings.patches(clip, lambda height, width: self.size(count, height, width))
            grid = Grid(times, down // settings.merge, across // settings.merge, self.pace(clip))
            tensors = {"pixel_values_videos": patches, "video_grid_thw": np.array([[times, down, across]])}
            text, runs = self.told(grid, clip)
        return made(text, runs, tensors, (media.fps, media.max_frames, clip.rate, *clip.numbers))

    def _check_tokens(self, frames: int, height: int, width: int, media: Media) -> None:
        """Refuses what no context holds, or takes too much memory, before anything is decoded. Raises ``InvalidRequestError``."""
        if frames * height * width > _MOST_PIXELS:
            raise InvalidRequestError(
                f"{frames} frames of {width} x {height} are more than the {_MOST_PIXELS} pixels of a film that are looked at: "
                "ask for fewer (fps, max_frames), or send it smaller",
                param=media.param,
            )
        tokens = -(-frames // self._films.group) * (height // self._films.factor) * (width // self._films.factor)
        if tokens >= self._context_length:
            raise ContextLengthError(
                f"{frames} frames of this film become {tokens} tokens, but the model's context holds {self._context_length}: "
                "ask for fewer (fps, max_frames), or send it smaller",
                param=media.param,
            )


class Qwen2Family(QwenFamily):
    """Qwen2-VL: nothing is between the layers of a film."""

    sampling = staticmethod(stepped)

    @property
    @override
    def defaults(self) -> Mapping[str, Any]:
        return {"patch_size": 14, "shortest_edge": 128 * 28 * 28, "longest_edge": 28 * 28 * 768, "max_video_tokens": 128_000}

    @override
    def pace(self, clip: Clip) -> float:
        return 1.0

    @override
    def told(self, grid: Grid, clip: Clip) -> tuple[str, Sequence[Run]]:
        return _FILM, [Run(grid.times * grid.rows * grid.columns, grid)]

    @override
    def size(self, frames: int, height: int, width: int) -> tuple[int, int]:
        films, most = self._films, self._films.most
        if films.most_tokens is not None:  # all frames have an even share of what a context holds
            share = int(films.most_tokens * films.factor**2 * _SHARE) * films.group // frames
            most = max(min(most, share), int(films.fewest * _LEEWAY))
        return films.rule(most).fit(height, width)


class Qwen25Family(Qwen2Family):
    """Qwen2.5-VL: positions of a film go on by its seconds."""

    def __init__(self, files: SightFiles) -> None:
        super().__init__(files)
        seeing = files.config.get("vision_config")
        self._a_second = float(seeing.get("tokens_per_second", 4)) if isinstance(seeing, dict) else 4.0

    @override
    def pace(self, clip: Clip) -> float:
        return float(np.float32(self._a_second * (self._films.group / clip.sampled_rate)))


class Qwen3Family(QwenFamily):
    """Qwen3-VL: each layer of a film has its time in words, and all frames share its pixels."""

    sampling = staticmethod(spread)

    def __init__(self, files: SightFiles) -> None:
        super().__init__(files)
        for token in (_OPENS, _CLOSES):
            files.token(token)

    @property
    @override
    def defaults(self) -> Mapping[str, Any]:
        return {"patch_size": 16, "shortest_edge": 128 * 32 * 32, "longest_edge": 32 * 32 * 768, "max_video_tokens": 768}

    @override
    def pace(self, clip: Clip) -> float:
        return 1.0

    @override
    def told(self, grid: Grid, clip: Clip) -> tuple[str, Sequence[Run]]:
        layer = Grid(1, grid.rows, grid.columns)
        text = "".join(f"<{seconds:.1f} seconds>{_OPENS}{_FILM}{_CLOSES}" for seconds in clip.times(self._films.group))
        return text, [Run(layer.rows * layer.columns, layer)] * grid.times

    @override
    def size(self, frames: int, height: int, width: int) -> tuple[int, int]:
        films, group, factor = self._films, self._films.group, self._films.factor
        if min(height, width) < factor:
            by = max(factor / height, factor / width)
            height, width = int(height * by), int(width * by)
        count, most = max(frames, group), films.most
        if films.most_tokens is not None:  # of one frame
            most = max(min(films.most_tokens * factor**2, most // count), int(films.fewest * _LEEWAY)) * count
        return films.rule(most).fit_film(count, height, width, group=group)


def _bounds(size: Any, detail: Detail) -> dict[str, int]:
    """Returns the bounds of a picture's pixels."""
    most = min(int(size["longest_edge"]), LOW_PIXELS) if detail == "low" else int(size["longest_edge"])
    return {"shortest_edge": min(int(size["shortest_edge"]), most), "longest_edge": most}
