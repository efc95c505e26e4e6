"""Conversations with pictures to a worker, from the wire to the answer: what transformers says, out of whatever file, and found again."""

import pytest
from msgspec.structs import replace

from mlxd.media_terms import Media, MediaKind
from mlxd.types import Ability, CacheOutcome, ChatMessage
from mlxd.wire.events import Failed, Finished, Started
from mlxd.wire.messages import CacheEvicted, EvictCache, Heartbeat, Reconfigure, Reconfigured, Tokenize, Tokenized
from mlxd.wire.prompts import ChatPrompt
from tests.support.film_files import filmed
from tests.support.picture_files import saved, waves
from tests.support.vision_conversations import decoded, prompt_of
from tests.support.vision_references import checkpoint, references
from tests.worker.worker_link import generate, in_thread, load_message

ARCHITECTURE = "qwen2_5_vl"
BLOCK = 4


@pytest.fixture
async def link():
    async with in_thread() as link:
        ready = await link.load(checkpoint(ARCHITECTURE), mode="continuous", cache_kind="paged", block_size=BLOCK)
        assert {Ability.IMAGES, Ability.VIDEOS} <= {*ready.abilities}
        yield link


def asks(*media, words="What is this?"):
    return ChatPrompt(messages=[ChatMessage(role="user", content=words, media=list(media))])


def picture(file, **fields):
    return Media(kind=MediaKind.IMAGE, files=[file], **fields)


async def cached(link, name, prompt):
    """How a prompt was found, and how many of its tokens."""
    finished = await link.ask(name, prompt, max_tokens=1)
    assert isinstance(finished, Finished), finished
    started = next(event for event in link.events[name] if isinstance(event, Started))
    return started.cache, finished.usage.cached_tokens


async def test_all_cases_at_once_are_answered_as_transformers_does(link):
    known = references(ARCHITECTURE)
    link.send(*(generate(name, prompt_of(reference), max_tokens=8) for name, reference in known.items()))
    for name, reference in known.items():
        finished = await link.ended(name)
        assert isinstance(finished, Finished), (name, finished)
        assert finished.usage.prompt_tokens == len(reference.tokens), name
        assert link.text(name) == decoded(ARCHITECTURE, reference.greedy), name


async def test_the_same_pixels_are_found_again_and_no_others(link):
    """The guide's table: A, A again, from another file, B, and both in both orders."""
    a, b = saved(waves(64, 48)), saved(waves(64, 48, shift=50))
    behind = saved(waves(64, 48), "BMP")
    outcomes = {}
    for name, media in {"A": [a], "A again": [a], "A as BMP": [behind], "B": [b], "A and B": [a, b], "B and A": [b, a]}.items():
        outcomes[name], _ = await cached(link, name, asks(*map(picture, media)))
    assert outcomes["A"] is CacheOutcome.MISS
    assert outcomes["A again"] is outcomes["A as BMP"] is CacheOutcome.HIT
    assert outcomes["B"] is outcomes["B and A"] is CacheOutcome.PREFIX_HIT  # what the template writes before it
    _, shared = await cached(link, "C", asks(picture(saved(waves(64, 48, shift=99)))))
    _, again = await cached(link, "A and B again", asks(*map(picture, (a, b))))
    assert shared < 40 < again


async def test_a_film_is_found_at_the_same_rate_only(link):
    file = filmed(size=(48, 16))
    film = Media(kind=MediaKind.VIDEO, files=[file], fps=2.0)
    _, first = await cached(link, "first", asks(film))
    outcome, _ = await cached(link, "again", asks(film))
    _, other = await cached(link, "other", asks(replace(film, fps=1.0)))
    assert (first, outcome) == (0, CacheOutcome.HIT)
    assert other < 40


async def test_a_bad_one_is_refused_with_its_part_and_nobody_else_ends(link):
    bad = picture(b"<svg/>", param="messages[0].content[1].image_url.url")
    link.send(generate("bad", asks(picture(saved(waves())), bad)), generate("good", asks(picture(saved(waves())))))
    failed, finished = await link.ended("bad"), await link.ended("good")
    assert isinstance(failed, Failed)
    assert (failed.error.code, failed.error.param) == ("invalid_request", "messages[0].content[1].image_url.url")
    assert "an SVG drawing" in failed.error.message
    assert isinstance(finished, Finished)


async def test_tokens_of_a_conversation_with_pictures_are_told(link):
    reference = references(ARCHITECTURE)["picture_and_video"]
    link.send(Tokenize(id="q", prompt=prompt_of(reference), with_pieces=True))
    await link.until(lambda: link.of(Tokenized))
    assert link.of(Tokenized)[0].tokens == reference.tokens


async def test_what_is_evicted_are_blocks_and_pictures_and_the_limit_of_these_is_live(link):
    def figures():
        return link.of(Heartbeat)[-1].cache

    await cached(link, "first", asks(picture(saved(waves(64, 48)))))
    await link.until(lambda: figures().media.kept == 1 and figures().bytes_used == 0)
    kept = figures().bytes_cached + figures().media.bytes
    link.send(EvictCache())
    await link.until(lambda: link.of(CacheEvicted))
    assert link.of(CacheEvicted)[-1].bytes == kept
    assert (figures().media.kept, figures().media.bytes) == (0, 0)
    asked = replace(load_message("tiny").limits, media_bytes=2**20)
    link.send(Reconfigure(limits=asked))
    await link.until(lambda: link.of(Reconfigured))
    assert figures().media.limit_bytes == 2**20
    assert figures().limit_bytes <= asked.cache_bytes - 2**20
