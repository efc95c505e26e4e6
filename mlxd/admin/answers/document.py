"""What all documents share: their base, the kinds of their fields, and errors."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Every field is always there."""


Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]  # RFC 3339, UTC, to the millisecond
Bytes = Annotated[int, Meta(ge=0, extra_json_schema={"format": "int64"})]
Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
ListenerRole = Annotated[str, Meta(extra_json_schema={"enum": ["inference", "admin", "metrics"]})]


class ErrorBody(Document, frozen=True, kw_only=True):
    """What was wrong, and what to do."""

    message: Annotated[str, Meta(description="For people.")]
    type: Annotated[str, Meta(description="The family, in OpenAI's words, such as `invalid_request_error`.")]
    param: Annotated[str | None, Meta(description="The parameter that was wrong.")]
    code: Annotated[str, Meta(description="For programs: it stays the same when the message is reworded.")]


class ErrorAnswer(Document, frozen=True, kw_only=True):
    """Every refusal that has no document of its own."""

    error: ErrorBody


def timestamp(unix: float) -> str:
    """Writes a Unix time as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
