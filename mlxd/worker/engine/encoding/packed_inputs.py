"""Thousands of texts that wait, in as few bytes as their tokens take."""

from array import array
from collections.abc import Iterable
from typing import Self

from mlxd.worker.encoded_input import EncodedInput


class PackedInputs:
    """The inputs of a request, in order: four bytes a token, where a list of them would take nine times as much. Tokens are below 2**31."""

    def __init__(self) -> None:
        self._tokens = array("i")
        self._ends = array("q", [0])
        self._seconds = array("i")
        self._prompts = array("i")

    @classmethod
    def of(cls, inputs: Iterable[EncodedInput]) -> Self:
        """Returns these inputs, packed."""
        packed = cls()
        packed.extend(inputs)
        return packed

    def extend(self, inputs: Iterable[EncodedInput]) -> None:
        """Takes in more, behind those that there are."""
        for one in inputs:
            self._tokens.extend(one.tokens)
            self._ends.append(len(self._tokens))
            self._seconds.append(one.second)
            self._prompts.append(one.prompt)

    def __len__(self) -> int:
        """Returns how many inputs there are."""
        return len(self._seconds)

    def __getitem__(self, place: int) -> EncodedInput:
        """Returns the input at a place, counted from 0."""
        tokens = self._tokens[self._ends[place] : self._ends[place + 1]].tolist()
        return EncodedInput(tokens, self._seconds[place], self._prompts[place])

    @property
    def lengths(self) -> list[int]:
        """Returns how many tokens each has."""
        return [end - begin for begin, end in zip(self._ends, self._ends[1:], strict=False)]

    @property
    def tokens(self) -> int:
        """Returns how many tokens all have together."""
        return len(self._tokens)
