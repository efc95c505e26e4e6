"""What a conversation's pictures and films become before a model sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mlxd.media_terms import Media, MediaKind
from mlxd.worker.encoded_prompt import MediaInput, MediaSpan

KEPT = 64 * 2**20  # bytes of what was made ready before, which the next turn of a conversation shows again


@dataclass(frozen=True)
class SeenMedia:
    """A picture or film as a prompt has it: ``text`` in the place of the placeholder that the chat template writes for it, which is
    tokenized with what is around it. Each of the processor's ``fillers`` in it stands for all tokens of one of ``spans``, which are counted
    from the first embedding on: where their tokens are is known when there are tokens.
    """

    text: str
    spans: tuple[MediaSpan, ...]
    input: MediaInput


class MediaProcessor(Protocol):
    """A model's own processor, for any thread. ``placeholders`` are what its chat template writes for what is to be seen, and ``fillers``
    the tokens in whose place there are embeddings; each is one token, by its spelling.
    """

    placeholders: Mapping[MediaKind, str]
    fillers: Mapping[str, int]

    def process(self, media: Media) -> SeenMedia:
        """Decodes and prepares one picture or film. Raises ``InvalidRequestError``, with its ``param``, for one that cannot be seen or is
        beyond a limit: what is wrong with a file is told of its header, before its pixels are decoded, where that says it.
        """
