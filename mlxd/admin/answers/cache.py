"""Of caches: what stays there whatever happens, and whose the rest is."""

from typing import Annotated

from msgspec import Meta

from mlxd.admin.answers.document import Bytes, Count, Document
from mlxd.cache_terms import PinState


class Pin(Document, frozen=True, kw_only=True):
    """A beginning of prompts that is to stay in a cache."""

    name: str
    state: Annotated[PinState, Meta(description="It is computed, or waits for that; it is kept; or it cannot be.")]
    tokens: Annotated[Count, Meta(description="That prompts which begin with it find.")]
    bytes: Annotated[Bytes, Meta(description="That its blocks take, those included that another pin has too.")]
    reason: Annotated[str, Meta(description="Why it is refused; else empty.")]


class KeyShare(Document, frozen=True, kw_only=True):
    """What the requests of one key have of a cache."""

    held_bytes: Annotated[Bytes, Meta(description="What it was the last to use, of running requests and kept for later ones.")]
    quota_bytes: Annotated[Bytes | None, Meta(description="What is its own by `cache_quota`; null: it has none.")]
