"""What is kept on disk of caches, and what was removed."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from mlxd.admin.answers.document import Bytes, Count, Document, Time
from mlxd.disk_terms import DiskState


class DiskCache(Document, frozen=True, kw_only=True):
    """The blocks of one model's weights in a directory."""

    model: Annotated[str, Meta(description="The id under which they were written; it need not be configured any more.")]
    weights: Annotated[str, Meta(description="The beginning of the hash of all that they depend on; others are of no use to the model.")]
    blocks: Count
    bytes: Bytes
    used: Annotated[Time, Meta(description="When one of them was last of use.")]


class DiskUser(Document, frozen=True, kw_only=True):
    """A model that is configured to use a directory, and what its worker says of it."""

    model: Annotated[str, Meta(description="Its id.")]
    state: Annotated[DiskState | None, Meta(description="Null: it has no worker that could say.")]
    reason: Annotated[str, Meta(description="Why it is not on.")]


class DiskDirectory(Document, frozen=True, kw_only=True):
    """A directory of caches on disk."""

    path: str
    bytes: Annotated[Bytes, Meta(description="That it takes, index included.")]
    limit_bytes: Annotated[Bytes | None, Meta(description="Null: no model is configured to use it.")]
    caches: Annotated[Sequence[DiskCache], Meta(description="Those first that were of use last.")]
    users: Sequence[DiskUser]
    problem: Annotated[str | None, Meta(description="Why nothing can be told of it.")]


class DiskDirectoryList(Document, frozen=True, kw_only=True):
    """The directories that models are configured to use."""

    directories: Sequence[DiskDirectory]


class DiskRemoval(Document, frozen=True, kw_only=True):
    """What was removed from a directory."""

    path: str
    blocks: Count
    bytes: Bytes
    problem: Annotated[str | None, Meta(description="Why nothing was.")]


class DiskRemovalList(Document, frozen=True, kw_only=True):
    """What was removed from each directory."""

    removed: Sequence[DiskRemoval]
