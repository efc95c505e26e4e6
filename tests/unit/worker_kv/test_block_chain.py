"""Names of blocks: equal names mean equal keys and values, whatever of them a prompt's tokens do not say."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt, MediaSpan
from mlxd.worker.kv.block_chain import BlockChain, root_digest
from mlxd.worker.kv.manager import Manager
from tests.unit.worker_kv.media import spans

BLOCK = 4
ROOT = CacheRoot(model="model")

tokens = st.lists(st.integers(0, 1), max_size=20)
pictures = st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.sampled_from([b"cat", b"dog", b"catdog", b""])), max_size=3)


def chain(prompt, media=(), root=ROOT):
    return BlockChain.of(EncodedPrompt(list(prompt), 1, root, tuple(media)), BLOCK)


def found(first, second, prompt):
    """How many tokens of ``prompt`` with the media of ``second`` are found after the same with those of ``first`` was computed."""
    manager = Manager(block_size=BLOCK, arena_blocks=16, capacity=16)
    computed = chain(prompt, first)
    manager.open("a", computed, manager.lookup(computed, prompt))
    assert manager.reserve("a", len(prompt))
    manager.commit("a", prompt, len(prompt))
    return manager.lookup(chain(prompt, second), prompt).cached_tokens


def inputs(prompt, media):
    """What the model sees at each position."""
    shown = {at: (span.content, at - span.start) for span in media for at in range(span.start, span.stop)}
    return [(token, shown.get(at)) for at, token in enumerate(prompt)]


@given(one=tokens, other=tokens, pictures=pictures, others=pictures)
def test_equal_names_are_equal_inputs_from_the_beginning(one, other, pictures, others):
    media, others = spans(len(one), pictures), spans(len(other), others)
    for index, (left, right) in enumerate(zip(chain(one, media).digests, chain(other, others).digests, strict=False), start=1):
        assert (left == right) <= (inputs(one, media)[: index * BLOCK] == inputs(other, others)[: index * BLOCK])


@given(prompt=tokens, pictures=pictures, rest=tokens)
def test_what_comes_later_changes_no_name(prompt, pictures, rest):
    media = spans(len(prompt), pictures)
    behind = MediaSpan(len(prompt) + len(rest), len(prompt) + len(rest) + 2, b"late")
    longer = chain([*prompt, *rest, 1, 1], [*media, behind])
    assert longer.digests[: len(prompt) // BLOCK] == chain(prompt, media).digests


def test_a_block_whose_placeholders_show_something_else_is_another_block():
    prompt = [1, 2, 3, 4, *[9] * 6, 5, 6, 7, 8, 10]
    cat, dog = MediaSpan(4, 10, b"cat"), MediaSpan(4, 10, b"dog")
    assert found([cat], [cat], prompt) == 12
    assert found([cat], [dog], prompt) == 4
    assert found([cat], [], prompt) == 4
    assert found([], [dog], prompt) == 4


def test_a_picture_that_begins_in_the_middle_of_a_block_keys_that_block_and_all_behind_it():
    prompt = [1, 2, 9, 9, 9, 9, 3, 4, 5, 6, 7, 8, 10]
    assert found([MediaSpan(2, 6, b"cat")], [MediaSpan(2, 6, b"dog")], prompt) == 0


def test_two_small_pictures_are_not_one_large_one():
    prompt = [9] * 9
    halves = [MediaSpan(0, 2, b"cat"), MediaSpan(2, 4, b"cat")]
    assert found(halves, [MediaSpan(0, 4, b"cat")], prompt) == 0
    assert found(halves, halves, prompt) == 8


@pytest.mark.parametrize("change", [{"model": "other"}, {"adapter": "a"}, {"kv_type": "8bit"}, {"salt": "tenant"}])
def test_prompts_of_different_roots_share_nothing(change):
    prompt = list(range(12))
    others = chain(prompt, root=msgspec.structs.replace(ROOT, **change))
    assert not set(chain(prompt).digests) & set(others.digests)


def test_the_parts_of_a_root_are_not_run_together():
    roots = [CacheRoot(model="ab"), CacheRoot(model="a", adapter="b"), CacheRoot(model="a", kv_type="b"), CacheRoot(model="a", salt="b")]
    assert len({root_digest(root) for root in roots}) == len(roots)


@pytest.mark.parametrize("media", [[(0, 4), (3, 5)], [(2, 2)], [(5, 4)], [(-1, 2)], [(7, 9)], [(4, 6), (0, 2)]])
def test_spans_that_overlap_or_lie_outside_are_refused(media):
    with pytest.raises(ValueError, match="media"):
        EncodedPrompt([0] * 8, 1, ROOT, tuple(MediaSpan(start, stop, b"") for start, stop in media))
