"""What an API adds to the encoding of texts: how it reads a request, and writes what came of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from mlxd.api.keys import ReadyModel
from mlxd.config.values import UnknownFields
from mlxd.errors import MlxdError
from mlxd.types import Task, Usage
from mlxd.wire.jobs import Embed, Score


class EncodingRequest(Protocol):
    """A body that its endpoint has read, with every field found right."""

    @property
    def count(self) -> int:
        """Returns how many texts, or pairs of texts, are to be encoded."""

    @property
    def priority(self) -> int | None:
        """Returns the priority that is asked for; lower goes first."""

    def to_wire(self, identity: str, model: ReadyModel) -> Embed | Score:
        """Returns the worker's job. Raises ``InvalidRequestError`` for what this model lacks."""

    def located(self, error: MlxdError) -> MlxdError:
        """Returns an error of the worker's that names the text as the client does."""

    def logged(self) -> Any:
        """Returns what is to be encoded, as the log shows it."""


R = TypeVar("R", bound=EncodingRequest)
V = TypeVar("V", bytes, float)


@dataclass(frozen=True, kw_only=True)
class Encoded(Generic[V]):
    """What a worker has made of a request: of each text its vector (float32, little-endian), or of each pair its score, in their order."""

    id: str
    model: ReadyModel
    values: Sequence[V]
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class EncodingEndpoint(Generic[R, V]):
    """One endpoint, which may have several paths."""

    paths: tuple[str, ...]
    endpoint: str  # its name in logs, metrics and traces
    answer_prefix: str  # of its answers' ids
    task: Task
    read: Callable[[Mapping[str, Any], UnknownFields], R]  # raises ``InvalidRequestError`` naming the field that is wrong
    written: Callable[[R, Encoded[V]], Iterator[bytes]]  # the answer, in pieces that take a few milliseconds each
