"""What a conversation's pictures and films become before a model sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mlxd.media_terms import Media, MediaKind
from mlxd.worker.encoded_prompt import MediaInput, MediaSpan


@dataclass(frozen=True)
class SeenMedia:
    """A picture or film as a prompt has it: ``tokens`` in the place of the one that the chat template writes for it, in which ``spans`` are
    those that its embeddings stand for, counted from the first of these tokens; and what they are computed from.
    """

    tokens: tuple[int, ...]
    spans: tuple[MediaSpan, ...]
    input: MediaInput


class MediaProcessor(Protocol):
    """A model's own processor, for any thread. ``placeholders`` are the tokens that its chat template writes for what is to be seen."""

    placeholders: Mapping[MediaKind, int]

    def process(self, media: Media) -> SeenMedia:
        """Decodes and prepares one picture or film. Raises ``InvalidRequestError``, with its ``param``, for one that cannot be seen or is
        beyond a limit: what is wrong with a file is told of its header, before its pixels are decoded, where that says it.
        """
