"""The fields that say whether an answer streams, and how."""

from typing import ClassVar

from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict
from mlxd.api.openai.answers import StreamUsage
from mlxd.api.openai.leniency import STREAM_OPTIONS
from mlxd.errors import InvalidRequestError


class StreamOptions(Strict):
    """The options of a stream, which ends with a chunk of usage where it is to ``include_usage``; with ``continuous_usage_stats`` every
    chunk says what was used so far.
    """

    tolerated: ClassVar[Rules] = STREAM_OPTIONS

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class StreamFields(Strict):
    """The fields of streaming."""

    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def streamed(self) -> bool:
        """Tells whether the client asked for a stream."""
        return bool(self.stream)

    @property
    def stream_usage(self) -> StreamUsage:
        """Returns which chunks of a stream say what was used."""
        options = self.stream_options or StreamOptions()
        if options.continuous_usage_stats:
            return StreamUsage.ALWAYS
        return StreamUsage.LAST if options.include_usage else StreamUsage.NEVER

    def check_stream_options(self) -> None:
        """Raises ``InvalidRequestError`` where there are any and nothing streams."""
        if self.stream_options not in (None, StreamOptions()) and not self.stream:
            raise InvalidRequestError("stream_options needs stream = true", param="stream_options")
