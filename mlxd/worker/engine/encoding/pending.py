"""The texts of a request that are not computed yet."""

from bisect import bisect_right

from mlxd.worker.engine.encoding.request import EncodingRequest
from mlxd.worker.engine.encoding.text import Text
from mlxd.worker.engine.waiting_line import Ranked


class Pending(Ranked):
    """The texts of one request, by length; ``tokens`` are left to compute. A text that was taken is one that is being computed."""

    def __init__(self, request: EncodingRequest) -> None:
        self._request = request
        lengths = request.inputs.lengths
        self._places = sorted(range(len(lengths)), key=lengths.__getitem__)
        self._lengths = [lengths[place] for place in self._places]
        self.tokens = sum(self._lengths)
        self.started = False

    @property
    def request(self) -> EncodingRequest:
        """Returns the request whose texts they are."""
        return self._request

    def __len__(self) -> int:
        """Returns how many are left."""
        return len(self._places)

    def longest(self, most: int | None = None) -> int | None:
        """Returns the length of the longest text that is left, of those with no more than ``most`` tokens; None where there is none."""
        at = self._at(most)
        return self._lengths[at] if at >= 0 else None

    def take(self, most: int | None = None) -> Text:
        """Takes out the text whose length ``longest`` tells. Raises ``IndexError`` where there is none."""
        at = self._at(most)
        if at < 0:
            raise IndexError("no such text is left")
        self.tokens -= self._lengths.pop(at)
        place = self._places.pop(at)
        return Text(self._request.id, place, self._request.inputs[place], self._request.dimensions)

    def _at(self, most: int | None) -> int:
        return (len(self._lengths) if most is None else bisect_right(self._lengths, most)) - 1
