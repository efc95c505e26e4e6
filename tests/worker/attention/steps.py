"""Random steps: sequences whose blocks lie anywhere in a few arenas, and what each of their rows may see."""

from itertools import groupby

from hypothesis import strategies as st

from mlxd.worker.engine.plan import Chunk
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.paged.slots import Geometry

ARENAS, MOST_BLOCKS = 3, 12
SOME = st.integers(1, 3)


@st.composite
def chunks(draw, geometry, rows=SOME, most=5):
    """Up to ``most`` sequences, of which some begin with the same blocks; each computes as many of its newest tokens as ``rows`` says."""
    blocks = draw(st.permutations(range(ARENAS * geometry.arena_blocks)))
    shared = [blocks.pop() for _ in range(draw(st.integers(0, MOST_BLOCKS // 2)))]
    if draw(st.booleans()):
        shared.sort()  # runs
    found = []
    for number in range(draw(st.integers(1, most))):
        count = draw(rows)
        begin = shared if draw(st.booleans()) else []
        length = draw(st.integers(count, (MOST_BLOCKS - len(begin)) * geometry.block_size)) + len(begin) * geometry.block_size
        own = [blocks.pop() for _ in range(-(-length // geometry.block_size) - len(begin))]
        if draw(st.booleans()):
            own.sort()
        found.append(chunk(str(number), length - count, count, [*begin, *own], geometry))
    return found


def chunk(name, start, count, blocks, geometry):
    """A chunk over these blocks, as runs that end with their arena."""
    keyed = groupby(enumerate(blocks), lambda item: (item[1] - item[0], item[1] // geometry.arena_blocks))
    runs = [[block for _, block in run] for _, run in keyed]
    return Chunk(name, start, count, None, tuple(Run(run[0], run[-1] + 1) for run in runs), samples=True)


def seen(chunk, geometry, window=None):
    """Yields for each row of a chunk the arenas and slots of the tokens it sees, in their order."""
    slots = [geometry.slots(block) for run in chunk.runs for block in run]
    places = [(one.arena, slot) for one in slots for slot in range(one.start, one.stop)]
    for end in range(chunk.start + 1, chunk.start + chunk.count + 1):
        yield places[max(0, end - window) if window else 0 : end]


GEOMETRIES = st.builds(Geometry, st.sampled_from([1, 4, 16]), st.just(5 * MOST_BLOCKS))
