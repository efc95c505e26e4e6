"""The families that see pictures, but no films."""

from collections.abc import Mapping
from typing import Any

from PIL import Image
from typing_extensions import override

from mlxd.errors import InvalidRequestError
from mlxd.media_terms import Media, MediaKind
from mlxd.worker.runtime.vision.families.family import CannotSeeError, Detail, Family, Run, SightFiles, made
from mlxd.worker.runtime.vision.families.picture_processor import PictureProcessor
from mlxd.worker.text.media_processor import SeenMedia

_LOW_SIDE = 512  # of a picture of which little detail is wanted


class PictureFamily(Family):
    """A family whose template writes ``placeholder`` for a picture, and whose embeddings take the place of ``filler``."""

    placeholder = "<image>"

    def __init__(self, files: SightFiles) -> None:
        self.filler = self.placeholder
        self.placeholders: Mapping[MediaKind, str] = {MediaKind.IMAGE: self.placeholder}
        self.fillers = {self.filler: files.token(self.filler)}
        self.pictures = PictureProcessor(files)

    @override
    def film(self, media: Media) -> SeenMedia:
        raise InvalidRequestError("this model sees no films", param=media.param)


class IdeficsFamily(PictureFamily):
    """Idefics3 and SmolVLM: a picture in tiles, row by row, and then as a whole; each of them has as many tokens."""

    _AROUND, _WHOLE = "<fake_token_around_image>", "<global-img>"

    def __init__(self, files: SightFiles) -> None:
        super().__init__(files)
        side = files.sight("image_size", 364) // files.sight("patch_size", 14) // int(files.config.get("scale_factor", 2))
        self._count = int(files.setting("image_seq_len", side * side))

    @override
    def picture(self, picture: Image.Image, detail: Detail) -> SeenMedia:
        arrays = self.pictures.process(picture, return_row_col_info=True)
        rows, columns = int(arrays.pop("rows").flat[0]), int(arrays.pop("cols").flat[0])
        text = "".join(self._tiles(row, columns) for row in range(rows)) + ("\n" if rows else "")
        text += f"{self._AROUND}{self._WHOLE}{self.filler}{self._AROUND}"
        return made(text, [Run(self._count)] * (rows * columns + 1), arrays)

    def _tiles(self, row: int, columns: int) -> str:
        return "".join(f"{self._AROUND}<row_{row + 1}_col_{column + 1}>{self.filler}" for column in range(columns)) + "\n"


class LlavaFamily(PictureFamily):
    """LLaVA: every picture has as many tokens."""

    def __init__(self, files: SightFiles) -> None:
        self.placeholder = files.setting("image_token", "<image>")
        super().__init__(files)
        self._patch = int(files.setting("patch_size", files.sight("patch_size", 14)))
        strategy = files.setting("vision_feature_select_strategy", files.config.get("vision_feature_select_strategy", "default"))
        beside = int(files.setting("num_additional_image_tokens", files.sight("model_type", "") == "clip_vision_model"))
        self._beside = beside - (strategy == "default")

    @override
    def picture(self, picture: Image.Image, detail: Detail) -> SeenMedia:
        arrays = self.pictures.process(self._resized(picture))
        height, width = arrays["pixel_values"].shape[-2:]
        count = (height // self._patch) * (width // self._patch) + self._beside
        return made(self.filler, [Run(count)], {"pixel_values": arrays["pixel_values"]})

    def _resized(self, picture: Image.Image) -> Image.Image:
        short = self.pictures.size.shortest_edge
        if not short or self.pictures.size.longest_edge or getattr(self.pictures, "do_pad", False):
            return picture
        height, width = (int(short * length / min(picture.size)) for length in (picture.height, picture.width))
        return self.pictures.resized(picture, height, width)


class PixtralFamily(PictureFamily):
    """Pixtral and Mistral 3: rows of a picture of any size, each of which a token ends."""

    def __init__(self, files: SightFiles) -> None:
        self.placeholder = files.setting("image_token", "[IMG]")
        super().__init__(files)
        self._row_end = files.setting("image_break_token", "[IMG_BREAK]")
        self._end = files.setting("image_end_token", "[IMG_END]")
        for token in (self._row_end, self._end):
            files.token(token)
        merged = int(files.setting("spatial_merge_size", files.config.get("spatial_merge_size", 1)))
        self._patch = int(files.setting("patch_size", files.sight("patch_size", 16))) * merged

    @override
    def picture(self, picture: Image.Image, detail: Detail) -> SeenMedia:
        arrays = self.pictures.process(picture, patch_size=self._patch, **self._size(detail))
        height, width = map(int, arrays["image_sizes"][0])
        rows, columns = height // self._patch, width // self._patch
        text = self._row_end.join([self.filler] * rows) + self._end
        return made(text, [Run(columns)] * rows, {name: arrays[name] for name in ("pixel_values", "image_sizes")})

    def _size(self, detail: Detail) -> dict[str, Any]:
        if detail != "low":
            return {}
        return {"size": {"longest_edge": min(int(self.pictures.size["longest_edge"]), _LOW_SIDE)}}


class GemmaFamily(PictureFamily):
    """Gemma 3: every picture has as many tokens, which see each other; with details of it behind it, where the model asks for them."""

    placeholder = "<start_of_image>"
    _FILLER, _CLOSES = "<image_soft_token>", "<end_of_image>"
    _CROPS = {  # noqa: RUF012 - what transformers takes where the model's files say nothing of it
        "do_pan_and_scan": False,
        "pan_and_scan_min_crop_size": 256,
        "pan_and_scan_max_num_crops": 4,
        "pan_and_scan_min_ratio_to_activate": 1.2,
    }

    def __init__(self, files: SightFiles) -> None:
        self.placeholder = _named(files, "boi_token", self.placeholder)
        super().__init__(files)
        self.filler = _named(files, "image_token", self._FILLER)
        self.fillers = {self.filler: files.token(self.filler)}
        self._closes = _named(files, "eoi_token", self._CLOSES)
        files.token(self._closes)
        self._count = int(files.setting("image_seq_length", files.config.get("mm_tokens_per_image", 256)))
        said = files.pictures.get("do_pan_and_scan")
        self._crops = self._CROPS if said is None else {}

    @override
    def picture(self, picture: Image.Image, detail: Detail) -> SeenMedia:
        size, has_crops = self.pictures.size, self._crops.get("do_pan_and_scan", self.pictures.do_pan_and_scan)
        if size.height and size.width and not has_crops:
            picture = self.pictures.resized(picture, size.height, size.width)
        arrays = self.pictures.process(picture, **self._crops)
        crops = int(arrays["num_crops"].flat[0])
        whole = f"\n\n{self.placeholder}{self.filler}{self._closes}\n\n"
        text = whole
        if crops:
            text = f"Here is the original image {whole} and here are some crops to help you see better {' '.join([whole] * crops)}"
        return made(text, [Run(self._count, mutual=True)] * (crops + 1), {"pixel_values": arrays["pixel_values"]})


def _named(files: SightFiles, name: str, default: str) -> str:
    """Returns the spelling of a token that a tokenizer's configuration may name."""
    spelling = files.tokenizer.get(name) or (files.tokenizer.get("extra_special_tokens") or {}).get(name) or default
    if not isinstance(spelling, str):
        raise CannotSeeError(f'its tokenizer\'s "{name}" is no text')
    return spelling
