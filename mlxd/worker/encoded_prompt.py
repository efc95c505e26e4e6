"""A prompt as the engine computes it: what text and media become, and what the cache may find again."""

from enum import StrEnum
from hashlib import blake2b
from typing import Self

import msgspec

from mlxd.media_terms import MediaKind

_DIGEST = 32  # bytes


class Opening(StrEnum):
    """What a prompt leaves open for its answer to go on with."""

    NONE = "none"  # the answer may begin with reasoning
    REASONING = "reasoning"  # the prompt has opened a block of reasoning, in which the answer begins
    CONTENT = "content"  # reasoning is behind it, or switched off: all of the answer is content


class Grid(msgspec.Struct, frozen=True):
    """How the placeholders of a span lie in time, height and width, for models that rotate by all three (M-RoPE, Qwen2-VL): there are
    ``times * rows * columns`` of them. A film goes on by ``pace`` positions from one time to the next.
    """

    times: int
    rows: int
    columns: int
    pace: float = 1.0

    @property
    def extent(self) -> int:
        """Returns by how many positions what follows is further on than the first of them."""
        return max(int((self.times - 1) * self.pace) + 1, self.rows, self.columns)


class MediaSpan(msgspec.Struct, frozen=True):
    """A span of a prompt, whose tokens ``start`` to ``stop`` (exclusive) are placeholders of one picture, recording or film: of its
    embeddings from ``first`` on. One picture may have several, with text between them.

    ``content`` is a hash of what it shows as the model gets it: equal hashes mean equal embeddings. Tokens of a ``mutual`` span attend to
    all of it, not only to those before them, so that it is computed as a whole. Without a ``grid`` their positions are like those of text.
    """

    start: int
    stop: int
    content: bytes
    first: int = 0
    grid: Grid | None = None
    mutual: bool = False

    def __len__(self) -> int:
        """Returns how many placeholders they are."""
        return self.stop - self.start


class Tensor(msgspec.Struct, frozen=True):
    """An array of numbers: its bytes in C order, of a ``dtype`` as numpy names it."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class MediaInput(msgspec.Struct, frozen=True):
    """A picture or film as the model's encoder takes it: what its processor made, by the names of the processor. It becomes ``count``
    embeddings, one for each of its placeholders.
    """

    content: bytes
    tensors: dict[str, Tensor]
    count: int
    kind: MediaKind = MediaKind.IMAGE


class CacheRoot(msgspec.Struct, frozen=True, kw_only=True):
    """What a prompt's keys and values depend on beside its tokens and media. Prompts of different roots share nothing."""

    model: str  # its source, with revision
    adapter: str = ""
    kv_type: str = ""  # what keys and values are stored as; empty: the model's own type
    salt: str = ""  # of a tenant that must not learn what others have asked


class EncodedPrompt(msgspec.Struct, frozen=True):
    """A prompt whose ``tokens`` are computed, then at most ``max_tokens`` generated. ``media`` spans lie in the tokens, in order, and do
    not overlap; ``inputs`` are the pictures and films that they show, each once. ``opening`` is told by the text that the chat template
    wrote, never by what a message says. The prompt of the conversation's next turn begins with the first ``lasting`` tokens, too, but
    perhaps not with what opens the answer behind them; 0 where nobody knows.

    Raises ``ValueError`` for spans that do.
    """

    tokens: list[int]
    max_tokens: int
    root: CacheRoot
    media: tuple[MediaSpan, ...] = ()
    opening: Opening = Opening.NONE
    lasting: int = 0
    inputs: tuple[MediaInput, ...] = ()

    def __post_init__(self) -> None:
        end = 0
        for span in self.media:
            if not end <= span.start < span.stop <= len(self.tokens):
                raise ValueError(f"media at {span.start} to {span.stop} overlaps others, or lies outside the {len(self.tokens)} tokens")
            end = span.stop

    def adapted(self, adapter: str) -> Self:
        """Returns the prompt as it is computed with an adapter, by its identity. What it shows is the same for all."""
        return msgspec.structs.replace(self, root=msgspec.structs.replace(self.root, adapter=adapter))

    def salted(self, salt: str) -> Self:
        """Returns the prompt as those of the same salt share it alone: by its root, and by the names of its media, for embeddings are kept
        by these. Without a salt it is the same.
        """
        if not salt:
            return self
        contents = {span.content for span in self.media} | {one.content for one in self.inputs}
        names = {content: blake2b(salt.encode() + content, digest_size=_DIGEST).digest() for content in contents}
        replace = msgspec.structs.replace
        return replace(
            self,
            root=replace(self.root, salt=salt),
            media=tuple(replace(span, content=names[span.content]) for span in self.media),
            inputs=tuple(replace(one, content=names[one.content]) for one in self.inputs),
        )
