"""Transformers' own processor of pictures, by Pillow: no torch."""

from typing import Any

import numpy as np
from PIL import Image
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from mlxd.worker.runtime.vision.families.family import CannotSeeError, SightFiles

_OF_MLX_VLM = {"Qwen3VLImageProcessor": Qwen2VLImageProcessorPil}  # what its converter writes, and transformers has another name for


class PictureProcessor:
    """A processor that takes each picture alone: nothing is padded, and none is seen by another's size."""

    def __init__(self, files: SightFiles) -> None:
        """Reads it from the model's directory. Raises ``CannotSeeError`` where it needs torch, code of the model's own, or is not there."""
        known = _OF_MLX_VLM.get(str(files.pictures.get("image_processor_type")))
        try:
            self._processor: Any = _read(files) if known is None else known.from_dict(dict(files.pictures))
        except Exception as error:
            raise CannotSeeError(f"its processor of pictures cannot be used: {(str(error).splitlines() or [''])[0]}") from error
        if not type(self._processor).__name__.endswith("Pil"):
            raise CannotSeeError(f"its processor of pictures, {type(self._processor).__name__}, does not work without torch")

    def __getattr__(self, name: str) -> Any:
        """Returns a setting of the processor's."""
        return getattr(self._processor, name)

    def resized(self, picture: Image.Image, height: int, width: int) -> Image.Image:
        """Returns a picture as large as the processor would make it, which then has nothing to do: it would copy a large one four times."""
        return picture.resize((width, height), self.resample) if self.do_resize else picture

    def process(self, picture: Image.Image, **settings: Any) -> dict[str, np.ndarray[Any, Any]]:
        """Returns the arrays that it makes of a picture in RGB, with one picture along their first axis."""
        made = self._processor(images=[picture], return_tensors="np", do_convert_rgb=False, **settings)  # it is: no copy
        return {name: np.asarray(value) for name, value in made.items()}


def _read(files: SightFiles) -> Any:
    return AutoImageProcessor.from_pretrained(str(files.directory), backend="pil", trust_remote_code=False, local_files_only=True)
