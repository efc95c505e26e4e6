"""What the number of a block says: which arena it lies in, and where in there. Nothing else works arenas out of numbers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Addresses:
    """The numbers of blocks, ``arena_blocks`` of them an arena, one arena after the other, whether or not there is memory for them."""

    arena_blocks: int

    def arena(self, block: int) -> int:
        """Returns the arena that a block lies in."""
        return block // self.arena_blocks

    def place(self, block: int) -> int:
        """Returns how many blocks of its arena lie before a block."""
        return block % self.arena_blocks

    def is_first(self, block: int) -> bool:
        """Tells whether an arena begins with this block: the number before it is no neighbour's."""
        return not block % self.arena_blocks

    def blocks(self, arena: int) -> range:
        """Returns the numbers of an arena's blocks."""
        return range(arena * self.arena_blocks, (arena + 1) * self.arena_blocks)

    def around(self, block: int) -> range:
        """Returns the numbers of all blocks in the arena of this one."""
        return self.blocks(self.arena(block))

    def ranges(self, blocks: Sequence[int]) -> Iterator[range]:
        """Returns ``blocks`` as maximal ranges of neighbours, none across the end of an arena: each is a slice of every layer's tensors."""
        return neighbours(blocks, self.is_first)


def neighbours(numbers: Sequence[int], begins: Callable[[int], bool] = lambda _: False) -> Iterator[range]:
    """Yields ``numbers`` as maximal ranges of neighbours, in their order; a number that ``begins`` one is not put to the number before."""
    start = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1 or begins(numbers[at]):
            yield range(numbers[start], numbers[at - 1] + 1)
            start = at
