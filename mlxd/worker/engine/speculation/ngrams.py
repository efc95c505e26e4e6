"""Where each short run of tokens occurred last, in a text that grows: what followed it there may follow it again.

Prompt look-up decoding (Saxena 2023) looks through the whole text at each step. Here every run of up to three tokens has an entry that
says where its newest occurrence ended, so that a look takes the same time however long the text is.
"""

from collections.abc import Sequence

LONGEST = 3  # tokens of a run


class Ngrams:
    """The runs of one text that something follows."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, ...], int] = {}
        self._entered = 0  # places up to which runs are entered

    def enter(self, tokens: Sequence[int], stop: int) -> None:
        """Enters the runs before each of the first ``stop`` of ``tokens``, which begin with those that were entered before."""
        start, self._entered = self._entered, max(self._entered, stop)
        for size in range(1, LONGEST + 1):
            first = max(start, size)
            text = tokens[first - size : stop]
            if len(text) > size:
                runs = zip(*(text[at : len(text) - size + at] for at in range(size)), strict=True)
                self._ends.update(zip(runs, range(first, stop), strict=True))

    def skip(self, places: int) -> None:
        """Leaves out the runs before the first ``places`` tokens: they are entered elsewhere."""
        self._entered = max(self._entered, places)

    def find(self, run: tuple[int, ...]) -> int | None:
        """Returns the place behind the newest occurrence of ``run``, where something follows; None where there is none."""
        return self._ends.get(run)
