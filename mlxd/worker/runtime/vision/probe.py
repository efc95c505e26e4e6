"""Are a model's pictures right over the paged cache? A made-up one, in the model's own conversation, has to give mlx-vlm's own logits.

Its prompt comes in two chunks, the second of which begins amid the picture, where its tokens do not see each other, and has another
sequence beside it. Then a few tokens follow, one in a step.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from PIL import Image

from mlxd.media_terms import Media, MediaKind
from mlxd.types import ChatMessage
from mlxd.wire.prompts import ChatPrompt
from mlxd.worker.encoded_prompt import EncodedPrompt, MediaSpan
from mlxd.worker.engine.plan import Chunk, Encode, StepPlan
from mlxd.worker.kv.block_table import Run, WindowRuns
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.slots import Geometry
from mlxd.worker.runtime.proof import difference, random_tokens
from mlxd.worker.runtime.vision.encoder import Encoder
from mlxd.worker.runtime.vision.plain import plain_logits
from mlxd.worker.text.media_processor import MediaProcessor
from mlxd.worker.text.prompt import PromptEncoder
from mlxd.worker.text.seen import Seen

_SIZE = (64, 48)  # pixels
_DECODED = 2  # tokens behind the prompt
_BESIDE = 5  # tokens of the other sequence
_AT_ONCE = 3600.0  # seconds that it may take


def seen_prompt(prompts: PromptEncoder, processor: MediaProcessor) -> EncodedPrompt:
    """Returns a conversation that shows a picture. Raises ``InvalidRequestError`` where the model's files do not let it."""
    written = io.BytesIO()
    rows, columns = np.mgrid[0 : _SIZE[1], 0 : _SIZE[0]]
    colours = np.stack([rows * 5, columns * 3, (rows * columns) % 251], axis=-1).astype(np.uint8)
    Image.fromarray(colours).save(written, "PNG")
    picture = Media(kind=MediaKind.IMAGE, files=[written.getvalue()], detail="low")
    message = ChatMessage(role="user", content="What is this?", media=[picture])
    return prompts.encode(ChatPrompt(messages=[message]), _DECODED, Seen([(picture, processor.process(picture))]))


def difference_of(loaded: LoadedModel, model: PagedModel, encoder: Encoder, prompt: EncodedPrompt) -> float:
    """Returns the largest difference of the logits behind the prompt, and behind each of the tokens that follow, in standard deviations.
    What the model holds is forgotten. Raises whatever the model raises.
    """
    tokens = [*prompt.tokens, *random_tokens(loaded, _DECODED, attempt=0)]
    (given,) = prompt.inputs
    encoded = encoder.run([Encode(given.content, given, _AT_ONCE)])
    for error in encoded.failed.values():
        raise error
    plain = plain_logits(loaded.model, tokens, prompt.media, encoder.tensors(given))[-_DECODED - 1 :]
    mx.eval(plain)
    try:
        return difference(plain, _Paged(model, tuple(tokens), prompt.media).logits(random_tokens(loaded, _BESIDE, attempt=1)))
    finally:
        encoder.clear()
        model.clear()


@dataclass(frozen=True)
class _Paged:
    """``tokens``, the last of which are decoded, in the first blocks of an arena."""

    model: PagedModel
    tokens: tuple[int, ...]
    media: tuple[MediaSpan, ...]

    def logits(self, beside: Sequence[int]) -> mx.array:
        """Returns the logits behind the prompt and behind each token that follows, ``[1 + decoded, vocab]``."""
        size = self.model.geometry.block_size
        own, other = (-(-count // size) for count in (len(self.tokens), len(beside)))
        geometry = Geometry(size, own + other)
        self.model.resize(geometry, dict.fromkeys(self.model.windows, geometry))
        prompt, span = len(self.tokens) - _DECODED, self.media[0]
        middle = span.start if span.mutual else (span.start + span.stop) // 2
        runs = Run(0, own), Run(own, own + other)
        self._step(self._chunk("seen", self.tokens, 0, middle, runs[0]))
        other_chunk = self._chunk("beside", tuple(beside), 0, len(beside), runs[1])
        rows = [self._step(self._chunk("seen", self.tokens, middle, prompt, runs[0]), other_chunk)[:1]]
        rows += [self._step(self._chunk("seen", self.tokens, at, at + 1, runs[0])) for at in range(prompt, len(self.tokens))]
        return mx.concatenate(rows)

    def _chunk(self, name: str, tokens: tuple[int, ...], start: int, stop: int, run: Run) -> Chunk:
        media = tuple(span for span in self.media if span.start < stop) if name == "seen" else ()
        windows = tuple(WindowRuns(0, (run,)) for _ in self.model.window_geometries)
        return Chunk(name, start, stop - start, tokens[start:stop], (run,), samples=True, windows=windows, media=media)

    def _step(self, *chunks: Chunk) -> mx.array:
        tokens = [token for chunk in chunks for token in chunk.tokens or ()]
        rows = self.model.forward(StepPlan(chunks=chunks), mx.array(tokens)).rows
        mx.eval(rows, *self.model.tensors())
        return rows
