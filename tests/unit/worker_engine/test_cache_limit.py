import psutil
import pytest

from mlxd.types import Limits
from mlxd.worker.cache_limit import CacheLimit


def test_a_size_is_itself_and_a_share_is_of_the_available_ram():
    limit, available = CacheLimit(), psutil.virtual_memory().available
    assert limit.resolve(Limits(cache_bytes=123)).cache_bytes == 123
    assert limit.resolve(Limits(cache_bytes=0)).cache_bytes == 0
    assert limit.resolve(Limits(cache_fraction=0.5)).cache_bytes == pytest.approx(available * 0.5, rel=0.3)
    assert limit.resolve(Limits()).cache_bytes == pytest.approx(available * 0.2, rel=0.3)


def test_a_share_stays_what_it_was_when_something_else_changes():
    limit = CacheLimit()
    first = limit.resolve(Limits(max_queue=1))
    assert limit.resolve(Limits(max_queue=2)).cache_bytes == first.cache_bytes
    assert limit.resolve(Limits(max_queue=2)).max_queue == 2
