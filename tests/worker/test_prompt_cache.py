import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlx_lm.models.cache import ArraysCache, ChunkedKVCache, KVCache, RotatingKVCache

from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.runtime.entries.prompt_cache import PromptCache, always_rewinds, can_rewind

ROOT = CacheRoot(model="org/tiny")
OTHER = CacheRoot(model="org/tiny", salt="key:mallory")


def layers(tokens, *kinds):
    """One layer of each kind (default ``KVCache``) whose keys and values spell ``tokens``."""
    made = []
    for kind in kinds or (KVCache,):
        layer = kind()
        spelled = mx.array(tokens, dtype=mx.float32).reshape(1, 1, -1, 1)
        layer.update_and_fetch(spelled, spelled)
        made.append(layer)
    return made


def spelled(found):
    """What the layers hold."""
    keys, values = found.layers[0].keys_and_values()
    assert mx.array_equal(keys, values)
    return [int(value) for value in keys.flatten().tolist()]


def cache(max_entries=100, max_bytes=2**30):
    return PromptCache(max_entries=max_entries, max_bytes=max_bytes)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=8), st.integers(1, 4))
def test_what_is_found_is_the_longest_beginning_and_holds_exactly_it(prompts, max_entries):
    kept, stored = cache(max_entries), []
    for prompt in prompts:
        found = kept.find(prompt, ROOT)
        if len(stored) <= max_entries:  # nothing evicted yet
            shared = [sum(1 for _ in _same(entry, prompt[:-1])) for entry in stored]
            assert (found.tokens if found else 0) == max(shared, default=0)
        if found:
            assert spelled(found) == prompt[: found.tokens]
            assert found.tokens <= len(prompt) - 1
        kept.store(prompt, ROOT, layers(prompt))
        stored.append(prompt)
        assert len(kept) <= max_entries


def _same(left, right):
    for one, other in zip(left, right, strict=False):
        if one != other:
            return
        yield one


def test_the_finder_may_write_without_changing_the_entry():
    kept = cache()
    kept.store([1, 2, 3], ROOT, layers([1, 2, 3]))
    for prompt in ([1, 2, 3, 9], [1, 2, 8, 9]):
        found = kept.find(prompt, ROOT)
        more = mx.full((1, 1, 5, 1), 77.0)
        found.layers[0].update_and_fetch(more, more)
        assert spelled(kept.find([1, 2, 3, 4], ROOT)) == [1, 2, 3]


def test_least_recently_used_goes_first_and_finding_is_using():
    kept = cache(max_entries=2)
    kept.store([1, 1], ROOT, layers([1, 1]))
    kept.store([2, 2], ROOT, layers([2, 2]))
    kept.find([1, 1, 5], ROOT)
    kept.store([3, 3], ROOT, layers([3, 3]))
    assert kept.find([1, 1, 5], ROOT) is not None
    assert kept.find([2, 2, 5], ROOT) is None


def test_bytes_are_limited_and_counted():
    kept = cache(max_bytes=100)
    for first in range(10):
        kept.store([first, 1, 2], ROOT, layers([first, 1, 2]))
        assert kept.nbytes <= 100
    assert len(kept) == 4  # 3 tokens of 8 bytes each
    assert kept.nbytes == 96


def test_what_is_larger_than_the_cache_is_not_kept_and_drives_nothing_out():
    kept = cache(max_bytes=100)
    kept.store([1, 2], ROOT, layers([1, 2]))
    kept.store(list(range(100)), ROOT, layers(list(range(100))))
    assert len(kept) == 1


def test_storing_again_replaces():
    kept = cache()
    for _ in range(3):
        kept.store([1, 2], ROOT, layers([1, 2]))
    assert (len(kept), kept.nbytes) == (1, 16)


def test_a_beginning_of_the_new_entry_is_dropped():
    kept = cache()
    kept.store([1, 2], ROOT, layers([1, 2]))
    kept.store([1, 2, 3], ROOT, layers([1, 2, 3]))
    assert len(kept) == 1


def rotating():
    return RotatingKVCache(max_size=4)


def test_a_full_window_is_never_cut_back():
    kept = cache()
    kept.store([1, 2, 3, 4, 5, 6], ROOT, layers([1, 2, 3, 4, 5, 6], rotating))
    assert kept.find([1, 2, 3, 9], ROOT) is None
    assert kept.find([1, 2, 3, 4, 5, 6, 7], ROOT).tokens == 6


def test_a_window_that_dropped_nothing_is_cut_back():
    kept = cache()
    kept.store([1, 2, 3], ROOT, layers([1, 2, 3], rotating))
    assert spelled(kept.find([1, 2, 9], ROOT)) == [1, 2]


@pytest.mark.parametrize(
    ("kinds", "rewinds", "always"),
    [
        ([KVCache], True, True),
        ([rotating], True, False),
        ([KVCache, rotating], True, False),
        ([lambda: ChunkedKVCache(8)], False, False),
    ],
)
def test_which_layers_can_be_cut_back(kinds, rewinds, always):
    made = layers([1, 2], *kinds)
    assert (can_rewind(made), always_rewinds(made)) == (rewinds, always)


def test_recurrent_layers_cannot_be_cut_back():
    assert not can_rewind([KVCache(), ArraysCache(2)])


def test_states_of_one_row_of_a_batch_are_copied_not_kept_as_views():
    batch = mx.zeros((16, 64, 64))
    mx.eval(batch)
    layer = ArraysCache(1)
    layer.cache = [batch[3:4]]
    kept = cache()
    kept.store([1, 2, 3], ROOT, [layer])
    before = mx.get_active_memory()
    del batch
    assert before - mx.get_active_memory() >= 16 * 64 * 64 * 4


def test_new_limits_hold_at_once():
    kept = cache()
    for number in range(5):
        kept.store([number, 1, 2], ROOT, layers([number, 1, 2]))
    size = kept.nbytes // 5
    kept.resize(max_entries=100, max_bytes=3 * size)
    assert len(kept) == 3
    kept.resize(max_entries=1, max_bytes=2**30)
    assert kept.find([4, 1, 2, 9], ROOT).tokens == 3
    assert kept.clear() == 1
    assert (len(kept), kept.nbytes) == (0, 0)


def test_prompts_of_another_root_find_nothing_and_displace_nothing():
    kept = cache()
    kept.store([1, 2], ROOT, layers([1, 2]))
    assert kept.find([1, 2, 3], OTHER) is None
    kept.store([1, 2, 3], OTHER, layers([1, 2, 3]))
    assert spelled(kept.find([1, 2, 3, 4], ROOT)) == [1, 2]
    assert spelled(kept.find([1, 2, 3, 4], OTHER)) == [1, 2, 3]
