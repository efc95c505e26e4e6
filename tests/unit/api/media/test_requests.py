"""Pictures on their way from a request to its worker."""

import asyncio
import base64
import json
from threading import current_thread

import msgspec
import pytest

from mlxd.api.media import gallery
from mlxd.api.media.asked import AskedMedia
from mlxd.errors import InvalidRequestError
from mlxd.media_terms import Media
from mlxd.types import Ability
from tests.support.fake_registry import READY, echo
from tests.support.media_server import PICTURE

PNG = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
CONTENT = "messages[0].content"
TEXT = {"type": "text", "text": "what is it?"}


def seen(url, **fields):
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def chat(*parts, **fields):
    return {"model": "tiny", "messages": [{"role": "user", "content": list(parts)}], **fields}


async def sent(server, body, path="/v1/chat/completions"):
    server.worker.script = echo
    status, answer, _ = await server.answer(body, path)
    assert status == 200, answer
    return [one for message in server.worker.submitted[-1].generate.prompt.messages for one in message.media]


async def refused(server, body, path="/v1/chat/completions"):
    status, answer, _ = await server.answer(body, path)
    assert (status, server.worker.submitted, server.worker.tokenized) == (400, [], [])
    return answer["error"]


async def test_a_picture_is_sent_with_its_place_and_bounds(showing, pictures):
    showing.set_media(max_frames=9, max_pixels=1000)
    found = await sent(showing, chat(TEXT, seen(PNG, detail="low"), TEXT, seen(pictures.url("/picture?secret"))))
    assert found == [
        Media(kind="image", files=[PICTURE], at=11, param=f"{CONTENT}[1].image_url.url", detail="low", max_frames=9, max_pixels=1000),
        Media(kind="image", files=[PICTURE + b"secret"], at=22, param=f"{CONTENT}[3].image_url.url", max_frames=9, max_pixels=1000),
    ]
    assert not any(isinstance(one, AskedMedia) for one in found)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=list[Media]) == found


FILM = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}


@pytest.mark.parametrize(("asked", "most"), [({}, 9), ({"max_frames": 4}, 4), ({"max_frames": 1000}, 9)])
async def test_a_film_has_no_more_frames_than_there_may_be(showing, asked, most):
    showing.set_media(max_frames=9)
    [film] = await sent(showing, chat(FILM | {"fps": 0.5} | asked))
    assert (film.kind, film.files, film.fps, film.max_frames) == ("video", [bytes(3)], 0.5, most)


async def test_frames_of_a_film_are_its_files(showing, pictures):
    [film] = await sent(showing, chat({"type": "video", "video": [PNG, pictures.url("/picture?2")], "fps": 2}))
    assert film.files == [PICTURE, PICTURE + b"2"]


async def test_pictures_are_fetched_side_by_side_and_each_once(showing, pictures):
    names = "abcab"
    found = await sent(showing, chat(*(seen(pictures.url(f"/picture?{name}")) for name in names)))
    assert [one.files[0][-1:].decode() for one in found] == list(names)
    assert len(pictures.asked) == 3
    assert {headers["Accept-Encoding"] for headers in pictures.headers} == {"identity"}
    assert not any({"Cookie", "Authorization", "Referer"} & headers.keys() for headers in pictures.headers)
    assert showing.gallery.held == 0


async def test_so_many_are_fetched_at_a_time(showing, pictures):
    showing.worker.script = echo
    asking = asyncio.create_task(showing.answer(chat(*(seen(pictures.url(f"/held?{number}")) for number in range(20)))))
    for batch in (8, 8, 4):
        for free in [await pictures.held.get() for _ in range(batch)]:
            free.set()
    assert (await asking)[0] == 200
    assert pictures.most_at_once == 8


@pytest.mark.parametrize("path", ["/gzip", "/to?url=/picture", "/hops?n=4"])
async def test_a_file_is_unpacked_and_redirects_are_followed(showing, pictures, path):
    [found] = await sent(showing, chat(seen(pictures.url(path))))
    assert found.files == [PICTURE]


async def test_no_proxy_of_the_environment_is_asked(showing, pictures, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await sent(showing, chat(seen(pictures.url("/picture"))))


MESSAGES, RESPONSES = "/v1/messages", "/v1/responses"
INLINE = {"type": "base64", "media_type": "image/png", "data": PNG.partition(",")[2]}
DIALECTS = [
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PNG}]}]}, RESPONSES, "input[0].content[0].image_url"),
    (
        {"input": [{"type": "function_call_output", "call_id": "a", "output": [{"type": "input_image", "image_url": PNG}]}]},
        RESPONSES,
        "input[0].output[0].image_url",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": INLINE}]}]},
        MESSAGES,
        "messages[0].content[0].source.data",
    ),
    (
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": PNG}}]}]},
        MESSAGES,
        "messages[0].content[0].source.url",
    ),
    (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image", "source": INLINE}]}],
                }
            ]
        },
        MESSAGES,
        "messages[0].content[0].content[0].source.data",
    ),
    (
        {"messages": [{"role": "tool", "tool_call_id": "a", "content": [{"type": "image_url", "image_url": PNG}]}]},
        "/v1/chat/completions",
        "messages[0].content[0].image_url",
    ),
]


@pytest.mark.parametrize(("body", "path", "param"), DIALECTS)
async def test_every_api_shows_pictures_and_refuses_them_by_their_place(showing, body, path, param):
    body = {"model": "tiny", "max_tokens": 5} | body
    if path == RESPONSES:
        body |= {"max_output_tokens": body.pop("max_tokens")}
    [found] = await sent(showing, body, path)
    assert (found.files, found.param) == ([PICTURE], param)
    showing.worker.submitted.clear()
    showing.model.ready = msgspec.structs.replace(READY, abilities=[])
    error = await refused(showing, body, path)
    assert error["message"].startswith(f"{param} is not supported with this model: 'tiny' sees no pictures")


async def test_who_serves_a_model_that_could_see_is_told_where_the_reason_is(showing):
    body = chat(seen(PNG))
    facts = msgspec.structs.replace(READY.facts, sight="no pictures are served: /models/x is damaged")
    showing.model.ready = msgspec.structs.replace(READY, abilities=[], facts=facts)
    assert "sees no pictures, though it could (mlxd status tiny says why); leave out" in (await refused(showing, body))["message"]


COUNTING = [("/v1/messages/count_tokens", 2), ("/v1/responses/input_tokens", 0), ("/tokenize", 5)]


@pytest.mark.parametrize(("path", "dialect"), COUNTING)
async def test_pictures_are_counted_by_the_worker(showing, path, dialect):
    body = {"model": "tiny"} | DIALECTS[dialect][0]
    status, answer, _ = await showing.answer(body, path)
    assert status == 200, answer
    [prompt] = showing.worker.tokenized
    assert [one.files for message in prompt.messages for one in message.media] == [[PICTURE]]
    showing.worker.tokenized.clear()
    showing.model.ready = msgspec.structs.replace(READY, abilities=[Ability.VIDEOS])
    assert "sees no pictures" in (await refused(showing, body, path))["message"]


async def test_a_model_that_reads_only_asks_no_server_whatever_turn_shows_it(showing, pictures):
    showing.model.ready = msgspec.structs.replace(READY, abilities=[Ability.IMAGES])
    history = chat(TEXT, seen(pictures.url("/picture")), FILM)["messages"]
    body = {"model": "tiny", "messages": [*history, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]}
    error = await refused(showing, body)
    assert (error["param"], error["code"]) == ("messages[0].content[2].video_url.url", "unsupported_parameter")
    showing.model.ready = msgspec.structs.replace(READY, abilities=[])
    assert (await refused(showing, body))["param"] == "messages[0].content[1].image_url.url"
    assert pictures.asked == []


async def test_too_many_are_refused_before_any_is_fetched(showing, pictures):
    showing.set_media(max_images=2, max_frames=2)
    url = pictures.url("/picture")
    error = await refused(showing, chat(seen(url), seen(url), seen(url)))
    assert (error["param"], "server.media.max_images" in error["message"]) == ("messages[0].content[2].image_url.url", True)
    error = await refused(showing, chat({"type": "video", "video": [url] * 3}))
    assert (error["param"], "server.media.max_frames" in error["message"]) == ("messages[0].content[0].video", True)
    showing.set_media(max_images=10, max_frames=128)
    error = await refused(showing, chat(*[{"type": "video", "video": [url] * 128}] * 5))
    assert (error["param"], "512 files" in error["message"]) == ("messages[0].content[4].video", True)
    showing.set_media(max_images=0)
    assert "may show 0" in (await refused(showing, chat(seen(PNG))))["message"]
    assert pictures.asked == []


async def test_what_is_configured_counts_from_the_next_request_on(showing, pictures):
    body = chat(seen(pictures.url("/picture")))
    assert await sent(showing, body)
    showing.worker.submitted.clear()
    showing.set_media(allow_http=False)
    assert "server.media.allow_http" in (await refused(showing, body))["message"]
    assert await sent(showing, chat(seen(PNG)))
    showing.worker.submitted.clear()
    showing.set_media(allow_http=True, allowed_hosts=("cdn.example",))
    assert "is not among server.media.allowed_hosts" in (await refused(showing, body))["message"]
    assert len(pictures.asked) == 1


async def test_of_several_frames_the_one_that_cannot_be_had_is_named(showing, pictures):
    error = await refused(showing, chat({"type": "video", "video": [PNG, pictures.url("/status?404")]}))
    assert error["param"] == "messages[0].content[0].video[1]"


async def test_one_that_fails_ends_the_fetches_of_the_others(showing, pictures):
    await refused(showing, chat(seen(pictures.url("/silent")), seen(pictures.url("/status?404"))))
    await pictures.left.wait()
    assert pictures.gone == ["/silent"]


async def test_a_client_that_goes_away_ends_its_fetches(showing, pictures):
    async with showing.raw() as (_, writer):
        writer.write(showing.raw_post(chat(seen(pictures.url("/silent")))))
        await pictures.waiting.wait()
    await pictures.left.wait()
    assert (pictures.gone, showing.worker.submitted) == (["/silent"], [])


async def test_all_of_a_request_may_have_so_many_bytes(showing, monkeypatch):
    monkeypatch.setattr("mlxd.api.media.allowance.MOST_MEDIA", 100)
    other = "data:image/png;base64," + base64.b64encode(PICTURE[::-1]).decode()
    error = await refused(showing, chat(seen(PNG), seen(PNG), seen(other)))
    assert (error["param"], "100B together" in error["message"]) == ("messages[0].content[2].image_url.url", True)


async def test_what_is_shown_twice_is_sent_twice(showing, monkeypatch):
    monkeypatch.setattr(gallery, "MOST_MEDIA", 200)
    assert len(await sent(showing, chat(seen(PNG), seen(PNG)))) == 2
    showing.worker.submitted.clear()
    error = await refused(showing, chat(*[seen(PNG)] * 3))
    assert (error["param"], "is too much" in error["message"]) == ("messages[0].content[2].image_url.url", True)


async def test_a_signed_url_is_asked_for_as_it_is_written(showing, pictures):
    query = "sig=a%2Bb%3D%7E%2f%C3%A9&X=%20+;,:@!$'()*~"
    [found] = await sent(showing, chat(seen(pictures.url(f"/picture?{query}"))))
    assert found.files == [PICTURE + query.encode()]
    [found] = await sent(showing, chat(seen(pictures.url("/picture?q=é b"))))
    assert found.files == [PICTURE + b"q=%C3%A9+b"]


@pytest.mark.parametrize("host", ["müller.test", "xn--mller-kva.test", "MÜLLER.test", "Xn--mller-kva.TEST"])
async def test_a_host_may_be_of_any_script(showing, pictures, host):
    showing.names["xn--mller-kva.test"] = ["127.0.0.1"]
    showing.set_media(allowed_hosts=(f"xn--mller-kva.test:{pictures.port}",))
    assert await sent(showing, chat(seen(pictures.url("/picture", host))))


async def test_all_requests_may_have_so_many_bytes(showing, monkeypatch):
    monkeypatch.setattr("mlxd.api.media.allowance._MOST_HELD", 100)
    first = asyncio.create_task(showing.answer(chat(seen(PNG))))
    request = await showing.worker.next_request()
    assert showing.gallery.held == len(PICTURE)
    status, answer, headers = await showing.answer(chat(seen(PNG)))
    assert (status, answer["error"]["code"], headers["Retry-After"]) == (429, "queue_full", "1")
    echo(request)
    assert (await first)[0] == 200
    assert await sent(showing, chat(seen(PNG)))


async def test_several_answers_to_a_picture_are_bounded_like_those_to_a_text(showing, monkeypatch):
    assert await sent(showing, chat(seen(PNG), n=3))
    assert len(showing.worker.submitted) == 3
    showing.worker.submitted.clear()
    monkeypatch.setattr("mlxd.api.jobs._MOST_BYTES", 2 * len(PICTURE))
    error = await refused(showing, chat(seen(PNG), n=3))
    assert error["param"] == "n"


async def test_large_base64_is_decoded_beside_the_loop(showing, monkeypatch):
    threads = []
    decoded = gallery.decoded
    monkeypatch.setattr(gallery, "decoded", lambda text: threads.append(current_thread().name) or decoded(text))
    await sent(showing, chat(seen(PNG), seen("data:image/png;base64," + "A" * 2**18)))
    assert [name.rstrip("0123456789") for name in sorted(threads)] == ["MainThread", "media-base64_"]


async def test_a_worker_s_refusal_names_the_part(showing):
    def fail(request):
        [shown] = request.generate.prompt.messages[0].media
        request.fail(InvalidRequestError(f"{shown.param} is no picture", param=shown.param))

    showing.worker.script = fail
    status, answer, _ = await showing.answer(chat(TEXT, seen(PNG)))
    assert (status, answer["error"]["param"]) == (400, "messages[0].content[1].image_url.url")


async def test_no_log_has_a_url_or_a_picture(showing, pictures, capsys):
    showing.log_content()
    await sent(showing, chat(TEXT, seen(pictures.url("/picture?token=sesame")), seen(PNG)))
    await showing.answer(chat(seen(pictures.url("/status?404&token=sesame"))))
    await showing.answer(chat(seen("https://user:sesame@cdn.example/a.png?sesame#sesame")))
    told = "".join(capsys.readouterr())
    assert "sesame" not in told
    assert PNG[-40:] not in told
    assert f"'bytes': {len(PICTURE)}" in told


async def test_a_stream_is_told_before_it_begins(showing, pictures):
    async with showing.post(chat(seen(pictures.url("/status?404")), stream=True)) as response:
        assert response.status == 400
        assert json.loads(await response.text())["error"]["param"] == "messages[0].content[0].image_url.url"


async def test_a_continued_answer_keeps_the_pictures_before_it(showing):
    body = chat(TEXT, seen(PNG), continue_final_message=True)
    body["messages"].append({"role": "assistant", "content": "It is"})
    assert len(await sent(showing, body)) == 1
