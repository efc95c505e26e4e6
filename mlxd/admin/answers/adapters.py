"""Of adapters: what is configured, and what has become of it."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from mlxd.adapter_terms import AdapterFormat, AdapterState
from mlxd.admin.answers.document import Bytes, Count, Document


class Adapter(Document, frozen=True, kw_only=True):
    """One adapter of a model. What only its files say is null before they were read."""

    name: Annotated[str, Meta(description="Its own.")]
    id: Annotated[str, Meta(description="What requests call it: its model's id, a colon, and its own.")]
    aliases: Annotated[Sequence[str], Meta(description="Other names of it, patterns included.")]
    source: str
    load: Annotated[Literal["eager", "lazy"], Meta(description="As configured.")]
    pinned: Annotated[bool, Meta(description="Once loaded it stays.")]
    state: AdapterState
    reason: Annotated[str | None, Meta(description="Why it cannot be used.")]
    format: AdapterFormat | None
    rank: Annotated[Count | None, Meta(description="The largest of its layers.")]
    scale: Annotated[float | None, Meta(description="By which what it adds is multiplied: `alpha / r` of PEFT; the largest of its layers.")]
    layers: Annotated[Count | None, Meta(description="Layers of the model that it changes.")]
    bytes: Annotated[
        Bytes, Meta(description="What it takes where no other is loaded. Together they take something else: ranks are padded.")
    ]
    requests: Annotated[Count, Meta(description="That run or wait with it.")]
    loads: Annotated[Count, Meta(description="Since its model's worker began.")]
    evictions: Annotated[Count, Meta(description="Of these, how many were undone to make room for others.")]


class AdapterList(Document, frozen=True, kw_only=True):
    """The adapters of one model."""

    model: Annotated[str, Meta(description="Its id.")]
    limit_bytes: Annotated[Bytes, Meta(description="What those that are loaded may take together: `adapter_memory`.")]
    used_bytes: Annotated[Bytes, Meta(description="What they take together.")]
    adapters: Annotated[Sequence[Adapter], Meta(description="In the file's order.")]
