"""What a worker says of a job that encodes, put together: it comes a few texts at a time, in any order."""

from typing import Any

from mlxd.errors import GenerationError
from mlxd.wire.events import Embedded, RequestEvent, Scored


class Collection:
    """The vectors, or scores, of ``count`` texts or pairs."""

    def __init__(self, count: int) -> None:
        self._values: list[Any] = [None] * count

    def take(self, event: RequestEvent) -> None:
        """Takes in what is made of some of them. Raises ``GenerationError`` for what does not fit the job."""
        try:
            if isinstance(event, Scored):
                self._put(event.places, event.scores)
            elif isinstance(event, Embedded):
                width = len(event.vectors) // len(event.places)
                self._put(event.places, [event.vectors[start : start + width] for start in range(0, len(event.vectors), width)])
        except (IndexError, ValueError, ZeroDivisionError) as error:
            raise GenerationError("the worker's vectors are not of the texts that it was sent") from error

    def values(self) -> list[Any]:
        """Returns them in the order of the texts. Raises ``GenerationError`` where one is missing."""
        if any(value is None for value in self._values):
            raise GenerationError("the worker ended the request without having encoded all of it")
        return self._values

    def _put(self, places: list[int], values: list[Any]) -> None:
        for place, value in zip(places, values, strict=True):
            self._values[place] = value
