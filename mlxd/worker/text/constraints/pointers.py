"""Places in a request, for errors to point at: a field, and a JSON pointer (RFC 6901) into what it holds."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from mlxd.errors import InvalidRequestError, excerpt


@dataclass(frozen=True)
class Place:
    """A value of a request."""

    field: str
    steps: tuple[str, ...] = ()

    def __truediv__(self, step: str | int) -> "Place":
        return Place(self.field, (*self.steps, str(step)))

    def __str__(self) -> str:
        return "".join([self.field, *(f"/{_escaped(step)}" for step in self.steps)])

    def refusal(self, why: str) -> InvalidRequestError:
        """Returns what a client is told who wrote what stands here."""
        return InvalidRequestError(f"{excerpt(str(self), 300)}: {why}", param=str(self))


class NowhereError(Exception):
    """A JSON pointer that leads nowhere."""


def steps_of(pointer: str) -> tuple[str, ...]:
    """Returns the steps of a pointer as a reference's fragment has it. Raises ``NowhereError`` for a text that is none."""
    if pointer == "":
        return ()
    if not pointer.startswith("/"):
        raise NowhereError
    return tuple(unquote(step).replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/"))


def found_at(document: Any, steps: tuple[str, ...]) -> Any:
    """Returns what stands in a JSON document where ``steps`` lead. Raises ``NowhereError`` where that is nothing."""
    for step in steps:
        if isinstance(document, dict) and step in document:
            document = document[step]
        elif isinstance(document, list) and step.isdecimal() and int(step) < len(document):
            document = document[int(step)]
        else:
            raise NowhereError
    return document


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
