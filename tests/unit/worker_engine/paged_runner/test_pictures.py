"""Prompts with pictures: what waits for them, what is encoded, and what the cache finds."""

import msgspec
import pytest

from mlxd.errors import GenerationError, UnsupportedParameterError
from mlxd.media_terms import MediaKind
from mlxd.types import CacheOutcome, Restraint
from mlxd.worker.engine.speculation.drafter import Guesses
from tests.support.memory_tier import MemoryTier
from tests.unit.worker_engine.paged_runner.rig import BLOCK, Rig
from tests.unit.worker_engine.pictures import PLACEHOLDER, Picture
from tests.unit.worker_engine.seeing_executor import EMBEDDING_BYTES, Sight

CAT, DOG = Picture(1), Picture(2)
WORDS = [1, 2, 3, 4]
QUESTION = [5, 6, 7, 8, 9]


def rig_of(*, embeddings=100, sight=None, **options):
    return Rig(sight=sight or Sight(), embeddings=embeddings, **options)


# ---- what is found ----


def test_a_picture_is_found_again_and_another_one_behind_the_same_words_is_not():
    rig = rig_of()
    turns = {
        "cat": [*WORDS, CAT, *QUESTION],
        "cat again": [*WORDS, CAT, *QUESTION],
        "dog": [*WORDS, DOG, *QUESTION],
        "cat and dog": [*WORDS, CAT, DOG, *QUESTION],
        "dog and cat": [*WORDS, DOG, CAT, *QUESTION],
        "another film": [*WORDS, Picture(1, kind=MediaKind.VIDEO), *QUESTION],
    }
    for name, parts in turns.items():
        rig.show(name, parts)
        rig.run()
    cached = {name: rig.started[name].cached_tokens for name in turns}
    assert cached == {"cat": 0, "cat again": 12, "dog": 4, "cat and dog": 8, "dog and cat": 8, "another film": 4}
    outcomes = [rig.started[name].cache for name in turns]
    assert outcomes == [CacheOutcome.MISS, CacheOutcome.HIT] + [CacheOutcome.PREFIX_HIT] * 4
    assert rig.all_right(*turns)
    assert rig.executor.encoded == [CAT.content, DOG.content, Picture(1, kind=MediaKind.VIDEO).content]


def test_ten_with_one_picture_have_it_encoded_once_and_its_blocks_once():
    rig = rig_of(blocks=200, max_sequences=10)
    picture = Picture(rows=4, columns=7)
    for number in range(10):
        rig.show(str(number), [*WORDS, picture, *QUESTION, 10 + number])
    rig.run()
    assert rig.executor.encoded == [picture.content]
    assert rig.executor.computed < len(WORDS) + len(picture.tokens) + 10 * 16
    assert rig.all_right(*rig.requests)


def test_what_the_cache_has_whole_is_not_encoded_again():
    rig = rig_of(embeddings=0)
    rig.show("first", [CAT, *QUESTION])
    rig.run()
    rig.show("second", [CAT, *QUESTION, 10])
    rig.run()
    assert rig.executor.encoded == [CAT.content]
    assert rig.runner.cache().media.misses == 1


def test_a_picture_on_disk_is_read_with_its_words_and_not_encoded():
    rig = rig_of(tier=MemoryTier(room=2**20, held=False), embeddings=0)
    rig.show("first", [*WORDS, CAT, *QUESTION])
    rig.settle()
    rig.runner.evict_cached()
    rig.settle()
    rig.scheduler.fetching._choice.pays = lambda size, computing: True
    rig.show("second", [*WORDS, CAT, *QUESTION, 10])
    rig.run_reading()
    assert rig.started["second"].cached_tokens == 12
    assert rig.executor.encoded == [CAT.content]
    assert rig.all_right("first", "second")


# ---- who waits ----


def test_words_before_a_picture_are_computed_while_it_is_encoded():
    rig = rig_of(sight=Sight(each=1.0))
    rig.show("a", [*WORDS, *WORDS, CAT, *QUESTION])
    rig.step()
    rig.step()
    assert rig.scheduler.running["a"].computed == 8
    assert rig.executor.encoded == []
    rig.run()
    assert rig.all_right("a")


def test_streams_and_other_prompts_go_on_while_a_picture_is_encoded():
    rig = rig_of(sight=Sight(each=1.0), step_tokens=None)
    rig.add("stream", [1, 2, 3], max_tokens=100)
    for _ in range(4):
        rig.step()
    rig.show("a", [*WORDS, CAT, *QUESTION])
    rig.step()
    rig.add("text", [3, 2, 1])
    rig.executor.seconds.clear()
    before = len(rig.tokens["stream"])
    while not rig.executor.encoded:
        rig.step()
    assert "text" in rig.ended
    assert len(rig.tokens["stream"]) - before >= len(rig.executor.seconds) - 1 >= 10
    assert max(rig.executor.seconds) <= rig.limits.target_itl + 2 * rig.executor.sight.block
    rig.run()
    assert rig.all_right(*rig.requests)


def test_what_encoding_took_too_long_streams_get_back():
    """A block takes five times what there is for it, so that one step in five has one."""
    rig = rig_of(sight=Sight(each=10.0, block=1.0), step_tokens=None, blocks=128)
    rig.add("stream", [1, 2, 3], max_tokens=300)
    rig.step()
    rig.show("a", [*WORDS, CAT, *QUESTION])
    said, run = [], rig.executor.run

    def watched(plan):
        said.append(bool(plan.encodes))
        return run(plan)

    rig.executor.run = watched
    while not rig.executor.encoded:
        rig.step()
    assert len(rig.executor.seconds) == 40
    assert 4.5 < len(said) / sum(said) < 5.5
    rig.run()
    assert rig.all_right("stream", "a")


def test_with_nobody_to_disturb_a_step_encodes_for_longer():
    rig = rig_of(sight=Sight(each=1.0))
    rig.show("a", [CAT, *QUESTION])
    rig.run()
    assert 0.9 < max(rig.executor.seconds) <= 1.0 + rig.executor.sight.block


def test_a_small_picture_is_not_held_up_by_a_long_film():
    rig = rig_of(sight=Sight(each=0.1), embeddings=1000)
    rig.show("film", [Picture(rows=20, columns=9, kind=MediaKind.VIDEO), *QUESTION])
    rig.step()
    rig.show("picture", [CAT, *QUESTION])
    steps = 0
    while "picture" not in rig.ended:
        rig.step()
        steps += 1
    assert steps < 10
    assert "film" not in rig.tokens
    rig.run()
    assert rig.all_right("film", "picture")


def test_whoever_waits_for_a_place_finds_its_picture_encoded():
    rig = rig_of(max_sequences=1)
    rig.add("running", [1, 2, 3], max_tokens=30)
    rig.show("next", [CAT, *QUESTION])
    for _ in range(10):
        rig.step()
    assert "next" not in rig.started
    assert rig.executor.encoded == [CAT.content]
    rig.run()
    assert rig.executor.encoded == [CAT.content]
    assert rig.all_right("running", "next")


# ---- pictures that are seen as a whole ----


BUDGETS, BEFORE = (1, 5, 12, 16, 40), (0, 1, 3, 15, 30)  # tokens of a step, and words before a picture
WHOLE = [
    *((step, words, None) for step in BUDGETS for words in BEFORE),
    *((step, words, 16) for step, words in zip(BUDGETS, BEFORE, strict=True)),
]


@pytest.mark.parametrize(("step_tokens", "words", "snapshots"), WHOLE)
def test_a_picture_that_is_seen_as_a_whole_is_in_one_chunk(step_tokens, words, snapshots):
    rig = rig_of(step_tokens=step_tokens, snapshots=snapshots)
    whole = Picture(columns=21, is_mutual=True)
    rig.show("a", [*range(1, 1 + words), whole, 5, whole, *QUESTION], lasting=words + 10)
    rig.add("stream", [3, 2, 1], max_tokens=30)
    rig.run()
    rig.show("b", [*range(1, 1 + words), whole, 5, whole, 7, 8])
    rig.run()
    assert rig.all_right("a", "b", "stream")


def test_what_is_computed_of_it_may_be_found_and_the_rest_goes_on():
    rig = rig_of()
    whole = Picture(columns=21, is_mutual=True)
    rig.show("a", [1, 2, whole, *QUESTION])
    rig.run()
    rig.show("b", [1, 2, whole, 9, 9])
    rig.run()
    assert rig.started["b"].cached_tokens == 20
    assert rig.executor.encoded == [whole.content]
    assert rig.all_right("a", "b")


@pytest.mark.parametrize("windows", [(), (9,), (17, 6)])
def test_it_is_computed_anew_as_a_whole_after_a_preemption(windows):
    rig = rig_of(blocks=16, windows=windows, window_blocks=24, step_tokens=8)
    whole = Picture(columns=18, is_mutual=True)
    rig.add("first", range(1, 10), max_tokens=40)
    rig.show("second", [2, whole, *QUESTION], max_tokens=20)
    rig.run()
    assert rig.preemptions
    assert rig.all_right("first", "second")


@pytest.mark.parametrize("asks", [{"prompt_logprobs": True}, {}])
def test_what_cannot_be_told_of_it_is_refused(asks):
    rig = rig_of()
    parts = [1, 2, Picture(columns=8, is_mutual=True)]
    with pytest.raises(UnsupportedParameterError, match=r"this model"):
        rig.show("a", parts, max_tokens=0, asks=asks)
    assert rig.runner.is_idle


# ---- faults ----


def test_a_picture_that_cannot_be_encoded_ends_those_who_need_it_and_nobody_else():
    rig = rig_of(sight=Sight(broken={CAT.content}))
    rig.show("cat", [*WORDS, CAT, *QUESTION])
    rig.show("cat too", [9, CAT, *QUESTION])
    rig.show("dog", [*WORDS, DOG, *QUESTION])
    rig.add("text", [1, 2, 3])
    rig.run()
    assert {name: type(error) for name, error in rig.failed.items()} == {"cat": GenerationError, "cat too": GenerationError}
    assert rig.all_right("dog", "text")
    assert rig.runner.cache().media.failed == 1
    rig.executor.sight.broken.clear()
    rig.show("cat once more", [*WORDS, CAT, *QUESTION])
    rig.run()
    assert rig.all_right("cat once more")


def test_what_nobody_wants_any_more_is_given_up():
    rig = rig_of(sight=Sight(each=10.0))
    rig.show("a", [CAT, *QUESTION])
    rig.step()
    assert rig.executor.left
    rig.runner.abort("a")
    rig.runner.give_back()
    assert not rig.executor.left


def test_after_a_fault_everything_is_encoded_anew():
    rig = rig_of(fail_at={3})
    rig.show("a", [*WORDS, CAT, *QUESTION], max_tokens=20)
    rig.run()
    assert isinstance(rig.failed["a"], GenerationError)
    rig.show("b", [*WORDS, CAT, *QUESTION])
    rig.run()
    assert rig.executor.encoded == [CAT.content] * 2
    assert rig.all_right("b")


# ---- what is kept ----


def test_what_nobody_needs_is_kept_up_to_the_limit_the_least_recently_used_goes_first():
    rig = rig_of(embeddings=2 * CAT.count)
    pictures = [Picture(number) for number in range(4)]
    for at in (0, 1, 0, 2, 0, 1):
        rig.show(f"{len(rig.requests)}", [len(rig.requests), pictures[at], *QUESTION])
        rig.run()
    assert rig.executor.encoded == [pictures[at].content for at in (0, 1, 2, 1)]
    figures = rig.runner.cache().media
    assert (figures.hits, figures.misses, figures.images, figures.tokens) == (2, 4, 6, 24)
    assert (figures.kept, figures.bytes, figures.limit_bytes) == (2, 2 * EMBEDDING_BYTES * CAT.count, 2 * EMBEDDING_BYTES * CAT.count)
    assert rig.runner.memory().media == figures.bytes


def test_under_restraint_nothing_is_kept_that_nobody_needs():
    rig = rig_of()
    rig.show("a", [CAT, *QUESTION])
    rig.run()
    assert rig.executor.held
    rig.runner.reconfigure(msgspec.structs.replace(rig.limits, restraint=Restraint(buffer_share=0.25)))
    assert not rig.executor.held
    for name, picture in (("b", DOG), ("c", CAT)):
        rig.show(name, [1, picture, *QUESTION])
    rig.run()
    rig.runner.give_back()
    assert not rig.executor.held
    assert rig.all_right("a", "b", "c")


def test_what_is_evicted_by_hand_takes_embeddings_with_it():
    rig = rig_of()
    rig.show("a", [CAT, *QUESTION])
    rig.run()
    assert rig.runner.evict_cached() == 3 + 1
    assert not rig.executor.held
    assert rig.runner.cache().media.kept == 0


def test_a_request_for_more_than_the_limit_is_encoded_one_by_one():
    rig = rig_of(embeddings=CAT.count)
    pictures = [Picture(number) for number in range(6)]
    rig.show("a", [*pictures, *QUESTION])
    while not rig.runner.is_idle:
        rig.step()
        assert sum(rig.executor.held.values()) <= 2 * EMBEDDING_BYTES * CAT.count
    assert rig.all_right("a")


# ---- what it counts for ----


def test_what_encoding_takes_is_planned():
    rig = rig_of(sight=Sight(each=1.0))
    rig.show("a", [CAT, *QUESTION])
    seen, run = [], rig.executor.run

    def watched(plan):
        seen.append((bool(plan.encodes), rig.runner.planned_seconds))
        return run(plan)

    rig.executor.run = watched
    rig.run()
    assert all(planned >= 0.9 for encodes, planned in seen if encodes)


def test_a_call_that_cannot_be_interrupted_is_expected_again():
    rig = rig_of(sight=Sight(each=100.0, block=30.0))
    rig.show("a", [CAT, *QUESTION])
    rig.step()
    rig.step()
    assert rig.runner.planned_seconds >= 30.0


def test_encoding_is_work_that_a_prompt_takes():
    rig = rig_of()
    rig.show("a", [*WORDS, CAT, *QUESTION])
    request = rig.requests["a"]
    assert rig.runner.uncached(request) == 13 + 4
    rig.run()
    assert rig.runner.uncached(request) == 13


def test_no_guess_is_a_picture():
    rig = rig_of(ahead=False)
    rig.show("a", [*WORDS, CAT, *QUESTION], max_tokens=10)
    guessed = Guesses(4, (1, PLACEHOLDER, PLACEHOLDER, 2))
    rig.scheduler._speculation.guesses = lambda decoding: {one.id: guessed for one in decoding}
    planned, run = [], rig.executor.run

    def watched(plan):
        planned.extend(chunk.tokens[1:] for chunk in plan.chunks if chunk.drafts)
        return run(plan)

    rig.executor.run = watched
    rig.run()
    assert planned
    assert set(planned) == {(1,)}
    assert rig.all_right("a")


def test_a_conversation_with_pictures_begins_where_a_block_ends():
    rig = rig_of()
    first = [*WORDS, CAT, *QUESTION]
    rig.show("first", first, max_tokens=7)
    rig.run()
    rig.show("second", [*first, *rig.tokens["first"], 3, DOG, 4], max_tokens=7)
    rig.run()
    assert rig.started["second"].cached_tokens == (13 + 7 - 1) // BLOCK * BLOCK
    assert rig.executor.encoded == [CAT.content, DOG.content]
    assert rig.all_right("first", "second")
