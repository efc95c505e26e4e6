"""Pictures and films are made ready beside everything else, once, and in bounded memory."""

import asyncio
import threading

import pytest
from msgspec.structs import replace

from mlxd.errors import InvalidRequestError, UnsupportedParameterError
from mlxd.types import ChatMessage
from mlxd.wire.prompts import ChatPrompt, TextPrompt
from mlxd.worker import media_pool
from mlxd.worker.media_pool import MediaPool
from tests.support.seeing import FakeProcessor, film, picture


def shows(*media):
    return ChatPrompt(messages=[ChatMessage(role="user", content="x", media=list(media))])


@pytest.fixture
def processor():
    return FakeProcessor()


@pytest.fixture
def pool(processor):
    pool = MediaPool(processor)
    yield pool
    pool.close()


async def test_each_is_made_ready_once_however_often_it_is_shown(pool, processor):
    again = replace(picture(b"abc", at=1), param="elsewhere", files=[bytes(bytearray(b"abc"))])
    prompt = shows(picture(b"abc"), again, picture(b"other"))
    seen = await pool.see(prompt)
    assert [one.input.count for one in seen.of(prompt.messages[0].media)] == [3, 3, 5]
    assert len(processor.processed) == 2
    await pool.see(prompt)  # the next turn
    assert len(processor.processed) == 2


@pytest.mark.parametrize("other", [picture(b"abd"), picture(detail="low"), picture(max_pixels=9), film(b"abc"), film(b"a", b"bc")])
async def test_what_is_looked_at_otherwise_is_another(pool, processor, other):
    await pool.see(shows(picture()))
    await pool.see(shows(other))
    assert len(processor.processed) == 2


async def test_a_film_at_another_rate_is_another(pool, processor):
    for asked in ({}, {"fps": 1.0}, {"fps": 2.0}, {"max_frames": 4}):
        await pool.see(shows(film(b"a", b"b", **asked)))
    assert len(processor.processed) == 4


async def test_what_was_made_ready_is_kept_up_to_a_limit(pool, processor, monkeypatch):
    monkeypatch.setattr(media_pool, "KEPT", 10)
    for content in (b"aaaa", b"bbbb", b"aaaa", b"cccc", b"aaaa", b"bbbb"):
        await pool.see(shows(picture(content)))
    assert [media.files[0][:1] for media in processor.processed] == [b"a", b"b", b"c", b"b"]  # the longest unused goes first
    await pool.see(shows(picture(b"x" * 11)))
    assert (pool._bytes, len(pool._kept)) == (0, 0)  # one that is larger than all of it is not kept


async def test_those_who_show_it_at_once_have_it_made_ready_once(pool, processor):
    """Several answers to one prompt come as so many requests at the same moment."""
    asked = [shows(picture(b"abc"), picture(b"other", param=f"messages[{number}]")) for number in range(8)]
    found = await asyncio.gather(*map(pool.see, asked))
    assert [one.input.count for seen, prompt in zip(found, asked, strict=True) for one in seen.of(prompt.messages[0].media)] == [3, 5] * 8
    assert len(processor.processed) == 2
    bad = [picture(b"damaged", param=f"messages[{number}]") for number in range(3)]
    failed = await asyncio.gather(*(pool.see(shows(one)) for one in bad), return_exceptions=True)
    assert [error.param for error in failed] == [one.param for one in bad]


async def test_nobody_learns_by_time_what_those_of_another_salt_have_shown(pool, processor):
    for salt in ("key:a", "key:a", "key:b", "", ""):
        await pool.see(shows(picture()), salt)
    assert len(processor.processed) == 3


async def test_a_bad_one_is_refused_with_its_part_and_is_tried_again(pool, processor):
    bad = picture(b"damaged", param="messages[0].content[1]")
    for tries in (1, 2):
        with pytest.raises(InvalidRequestError) as error:
            await pool.see(shows(picture(), bad))
        assert error.value.param == "messages[0].content[1]"
        assert processor.processed.count(bad) == tries


async def test_text_waits_for_nobody(pool, processor, monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(processor, "process", lambda media: release.wait(30) and FakeProcessor().process(media))
    slow = asyncio.create_task(pool.see(shows(picture(), picture(b"b"), picture(b"c"))))
    for prompt in (TextPrompt(text="x"), shows()):
        assert (await pool.see(prompt)).of([]) == []
    assert not slow.done()
    release.set()
    await slow


async def test_a_model_without_eyes_refuses_by_name():
    pool = MediaPool(None)
    with pytest.raises(UnsupportedParameterError, match="sees no pictures") as error:
        await pool.see(shows(picture(param="part")))
    assert error.value.param == "part"
    pool.close()
