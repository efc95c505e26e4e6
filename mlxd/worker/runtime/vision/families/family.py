"""What is common to all families: where a model's files say how it sees, and how what it sees is put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import numpy as np
from PIL import Image

from mlxd.errors import ModelSourceError
from mlxd.media_terms import Media, MediaKind
from mlxd.worker.encoded_prompt import Grid, MediaInput, MediaSpan, Tensor
from mlxd.worker.facts.json_document import JsonDocument
from mlxd.worker.text.media_processor import SeenMedia

Pixels = np.ndarray[Any, np.dtype[np.float32]]
Detail = Literal["auto", "low", "high"]

LOW_PIXELS = 512 * 512  # of a picture of which little detail is wanted, as OpenAI has it
_DIGEST = 16  # bytes


class CannotSeeError(Exception):
    """A model that is not shown anything; the message says why. It reads and writes text as any other."""


@dataclass(frozen=True)
class SightFiles:
    """What a model's directory says of how it sees: ``config`` is the model's, ``pictures`` and ``films`` are its processors', and
    ``processor`` what is said of both. ``vocabulary`` gives the tokens of spellings, and the context has ``context_length`` of them.
    """

    directory: Path
    config: Mapping[str, Any]
    processor: Mapping[str, Any]
    pictures: Mapping[str, Any]
    films: Mapping[str, Any]
    tokenizer: Mapping[str, Any]
    vocabulary: Mapping[str, int]
    context_length: int

    @classmethod
    def read(cls, directory: Path, vocabulary: Mapping[str, int], context_length: int) -> "SightFiles":
        """Reads the files, of which newer ones hold what older ones hold in two. Raises ``ModelSourceError`` for one that is damaged."""
        processor = _values(directory, "processor_config.json")
        before = _values(directory, "preprocessor_config.json")
        pictures = processor.get("image_processor") or before
        films = processor.get("video_processor") or _values(directory, "video_preprocessor_config.json") or before
        for name, found in (("image_processor", pictures), ("video_processor", films)):
            if not isinstance(found, dict):
                raise ModelSourceError(f'{directory / "processor_config.json"}: "{name}" is no object')
        config, tokenizer = _values(directory, "config.json"), _values(directory, "tokenizer_config.json")
        return cls(directory, config, processor, pictures, films, tokenizer, vocabulary, context_length)

    @property
    def processor_class(self) -> str | None:
        """Returns the name that transformers has for the processor, None where no file says it."""
        said = (found.get("processor_class") for found in (self.processor, self.pictures, self.tokenizer))
        return next((str(name) for name in said if name), None)

    def token(self, spelling: str) -> int:
        """Returns a token's id. Raises ``CannotSeeError`` where the vocabulary has none of this spelling."""
        token = self.vocabulary.get(spelling)
        if token is None:
            raise CannotSeeError(f'its vocabulary has no token "{spelling}"')
        return token

    def sight(self, name: str, default: Any) -> Any:
        """Returns what the model's configuration says of its vision tower."""
        value = (self.config.get("vision_config") or {}).get(name)
        return default if value is None else value

    def setting(self, name: str, default: Any) -> Any:
        """Returns what the processor's own file says, or how it is where that says nothing."""
        value = self.processor.get(name)
        return default if value is None else value


def _values(directory: Path, name: str) -> dict[str, Any]:
    return JsonDocument.read_if_there(directory / name).values


class Family(Protocol):
    """How one family of models sees. ``placeholders`` and ``fillers`` are as ``MediaProcessor`` has them."""

    placeholders: Mapping[MediaKind, str]
    fillers: Mapping[str, int]

    def picture(self, picture: Image.Image, detail: Detail) -> SeenMedia:
        """Prepares one picture, in RGB."""

    def film(self, media: Media) -> SeenMedia:
        """Prepares a film, where there is a placeholder for it. Raises ``InvalidRequestError``."""


@dataclass(frozen=True)
class Run:
    """Placeholders that follow each other without text between them."""

    count: int
    grid: Grid | None = None
    mutual: bool = False


def made(text: str, runs: Sequence[Run], tensors: Mapping[str, Any], asked: Sequence[float | None] | None = None) -> SeenMedia:
    """Puts together what a picture became, or a film, of which it was ``asked`` how to look at it. It is named by that, and by what the
    model gets.
    """
    kind = MediaKind.IMAGE if asked is None else MediaKind.VIDEO
    kept = {name: _tensor(value) for name, value in tensors.items()}
    digest = blake2b(msgspec.msgpack.encode(([*map(_told, runs)], asked)), digest_size=_DIGEST)
    for name, tensor in sorted(kept.items()):
        digest.update(f"{name} {tensor.dtype} {tensor.shape}".encode())
        digest.update(tensor.data)
    content, first, spans = digest.digest(), 0, []
    for run in runs:
        spans.append(MediaSpan(first, first + run.count, content, first, run.grid, run.mutual))
        first += run.count
    return SeenMedia(text, tuple(spans), MediaInput(content, kept, first, kind))


def _told(run: Run) -> tuple[object, ...]:
    grid = run.grid
    return (run.count, run.mutual, None if grid is None else (grid.times, grid.rows, grid.columns, grid.pace))


def _tensor(value: Any) -> Tensor:
    array = np.asarray(value)
    array = array.astype(np.float32) if array.dtype.kind == "f" else array.astype(np.int64)
    return Tensor(str(array.dtype), array.shape, np.ascontiguousarray(array).tobytes())
