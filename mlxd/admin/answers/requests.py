"""Of the requests there are now."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from mlxd.admin.answers.document import Count, Document, Time
from mlxd.control.live_requests import Stage


class Request(Document, frozen=True, kw_only=True):
    """One that is there now."""

    id: Annotated[str, Meta(description="The one its answer has, such as `chatcmpl-…`.")]
    request_id: Annotated[str, Meta(description="Of the HTTP request: its `x-request-id`.")]
    endpoint: str
    adapter: Annotated[str | None, Meta(description="The name of the one it is answered with.")]
    key: Annotated[str, Meta(description="The name of the key it was asked by.")]
    streamed: bool
    stage: Annotated[Stage, Meta(description="`loading`: its model is being loaded, or waits for its turn; `waiting`: in the queue.")]
    arrived: Time
    prompt_tokens: Annotated[Count | None, Meta(description="Null until it runs.")]
    cached_tokens: Annotated[Count | None, Meta(description="Of these, found in the prefix cache.")]
    completion_tokens: Annotated[Count, Meta(description="Generated so far.")]


class RequestList(Document, frozen=True, kw_only=True):
    """The requests of one model."""

    model: Annotated[str, Meta(description="Its id.")]
    requests: Annotated[Sequence[Request], Meta(description="In the order they came.")]


class Cancelled(Document, frozen=True, kw_only=True):
    """The request that was ended."""

    model: Annotated[str, Meta(description="Its id.")]
    id: Annotated[str, Meta(description="The request's.")]
