"""What a worker says of its memory: the parts are all of it, whoever counts."""

from hypothesis import given
from hypothesis import strategies as st

from mlxd.types import MemoryFigures

SIZES = st.integers(0, 2**40)


def test_what_no_part_counts_is_transient_where_mlx_has_it_and_other_where_the_system_does():
    figures = MemoryFigures(
        weights=100,
        kv=20,
        states=1,
        snapshots=2,
        media=6,
        draft=3,
        adapters=7,
        grammars=4,
        disk=5,
        mlx_active=150,
        mlx_cache=10,
        footprint=200,
    )
    named = {"weights": 100, "kv": 20, "states": 1, "snapshots": 2, "media": 6, "draft": 3, "adapters": 7, "grammars": 4, "disk": 5}
    assert figures.parts == named | {"transients": 21, "other": 31}
    assert sum(figures.parts.values()) == figures.held == 200


def test_on_a_device_with_memory_of_its_own_the_process_is_small_and_mlx_knows():
    figures = MemoryFigures(weights=100, mlx_active=150, mlx_cache=10, footprint=50)
    assert (figures.held, figures.other) == (160, 0)


def test_where_the_system_tells_no_footprint_resident_memory_stands_for_it():
    assert MemoryFigures(rss=70, mlx_active=30).held == 70


@given(parts=st.fixed_dictionaries(dict.fromkeys(("weights", "kv", "states", "snapshots", "draft"), SIZES)), more=SIZES, beside=SIZES)
def test_the_parts_are_all_that_is_held(parts, more, beside):
    active = sum(parts.values()) + more
    figures = MemoryFigures(**parts, mlx_active=active, footprint=active + beside)
    assert sum(figures.parts.values()) == figures.held
