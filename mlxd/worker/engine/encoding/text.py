"""One text of a request, as a step takes it."""

from dataclasses import dataclass

from mlxd.worker.encoded_input import EncodedInput


@dataclass(frozen=True)
class Text:
    """The text at a ``place`` of the request ``request_id``. Its vector is shortened to so many ``dimensions``, where there are any."""

    request_id: str
    place: int
    input: EncodedInput
    dimensions: int | None = None

    @property
    def key(self) -> tuple[str, int]:
        """Returns what no other text is known by."""
        return self.request_id, self.place

    def __len__(self) -> int:
        """Returns how many tokens it has."""
        return len(self.input.tokens)
