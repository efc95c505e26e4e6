"""A model's own processor: from files of pictures and films to what the model is shown."""

from collections.abc import Callable, Mapping
from pathlib import Path

from typing_extensions import override

from mlxd.errors import InvalidRequestError, excerpt
from mlxd.media_terms import Media, MediaKind
from mlxd.worker.runtime.vision.families.family import CannotSeeError, Family, SightFiles
from mlxd.worker.runtime.vision.families.pictures_alone import GemmaFamily, IdeficsFamily, LlavaFamily, PixtralFamily
from mlxd.worker.runtime.vision.families.qwen import Qwen2Family, Qwen3Family, Qwen25Family
from mlxd.worker.runtime.vision.pictures import most_pixels, read_picture
from mlxd.worker.text.media_processor import MediaProcessor, SeenMedia

_BY_PROCESSOR: Mapping[str, Callable[[SightFiles], Family]] = {
    "Qwen2VLProcessor": Qwen2Family,
    "Qwen2_5_VLProcessor": Qwen25Family,
    "Qwen3VLProcessor": Qwen3Family,
    "Idefics3Processor": IdeficsFamily,
    "SmolVLMProcessor": IdeficsFamily,
    "LlavaProcessor": LlavaFamily,
    "PixtralProcessor": PixtralFamily,
    "Gemma3Processor": GemmaFamily,
}
_BY_TYPE: Mapping[str, Callable[[SightFiles], Family]] = {
    "qwen2_vl": Qwen2Family,
    "qwen2_5_vl": Qwen25Family,
    "qwen3_vl": Qwen3Family,
    "qwen3_vl_moe": Qwen3Family,
    "idefics3": IdeficsFamily,
    "smolvlm": IdeficsFamily,
    "llava": LlavaFamily,
    "pixtral": PixtralFamily,
    "mistral3": PixtralFamily,
    "gemma3": GemmaFamily,
}


class ModelProcessor(MediaProcessor):
    """The processor of one model, of a family that is known here."""

    def __init__(self, family: Family) -> None:
        self._family = family
        self.placeholders = family.placeholders
        self.fillers = family.fillers

    @override
    def process(self, media: Media) -> SeenMedia:
        try:
            return self._family.film(media) if media.kind is MediaKind.VIDEO else self._picture(media)
        except MemoryError as error:
            raise InvalidRequestError("this takes too much memory to look at", param=media.param) from error

    def _picture(self, media: Media) -> SeenMedia:
        if len(media.files) != 1:
            raise InvalidRequestError(f"a picture is one file, and not {len(media.files)}", param=media.param)
        picture = read_picture(media.files[0], most_pixels(media), media.param)
        try:
            return self._family.picture(picture, media.detail)
        except ValueError as error:  # its sides are too different, or too short
            refused = f"the model's processor refuses a picture of {picture.width} x {picture.height}"
            raise InvalidRequestError(f"{refused}: {excerpt(str(error))}", param=media.param) from error


def open_processor(directory: Path, vocabulary: Mapping[str, int], context_length: int) -> ModelProcessor:
    """Returns the processor that a model's directory describes. ``vocabulary`` gives the token of each spelling.

    Raises ``CannotSeeError`` for one that is not known here, or does not work without torch, and ``ModelSourceError`` for a damaged file.
    """
    files = SightFiles.read(directory, vocabulary, context_length)
    named, kind = files.processor_class, files.config.get("model_type")
    make = _BY_PROCESSOR.get(str(named)) or _BY_TYPE.get(str(kind))
    if make is None:
        raise CannotSeeError(f"its processor ({named or kind}) is not known here")
    try:
        return ModelProcessor(make(files))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise CannotSeeError(f"its processor's settings cannot be read: {type(error).__name__}: {error}") from error
