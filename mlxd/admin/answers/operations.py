"""What was asked of models: operations that take their time, and evictions."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from mlxd.admin.answers.document import Bytes, Count, Document, ErrorBody, Time
from mlxd.control.operations import OperationKind, OperationState


class Operation(Document, frozen=True, kw_only=True):
    """Something that was asked of a model, or of an adapter of one, and takes its time."""

    id: str
    kind: OperationKind
    model: Annotated[str, Meta(description="Its id.")]
    adapter: Annotated[str | None, Meta(description="The name of the one that it is of; null: it is of the model.")]
    state: OperationState
    error: Annotated[ErrorBody | None, Meta(description="Why it failed.")]
    started: Time
    finished: Time | None


class OperationList(Document, frozen=True, kw_only=True):
    """Operations that run, and the last hundred that ended."""

    operations: Annotated[Sequence[Operation], Meta(description="The newest first.")]


class Eviction(Document, frozen=True, kw_only=True):
    """What was dropped of one model's prefix cache."""

    model: Annotated[str, Meta(description="Its id.")]
    entries: Annotated[Count, Meta(description="Blocks of a paged cache, or whole prompts.")]
    bytes: Bytes


class EvictionList(Document, frozen=True, kw_only=True):
    """What was dropped of all prefix caches."""

    evicted: Annotated[Sequence[Eviction], Meta(description="One for each model that is ready.")]
