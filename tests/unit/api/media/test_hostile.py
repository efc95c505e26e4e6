"""Parts and URLs that are made to hurt: each is a 400 that names it, soon, and nobody is asked who must not be. Then the next is served."""

import socket

import pytest
from yarl import URL

from mlxd.api.media.destination import destination
from mlxd.api.media.fetch import _socket_factory
from mlxd.config.schema import MediaTable
from tests.support.fake_registry import echo
from tests.support.media_server import HOST, PICTURE, saying

PORT = "{port}"  # that of the pictures' server
PNG = "data:image/png;base64,"
INNER = "inner.evil.test"
NAMES = {
    HOST: ["127.0.0.1"],
    INNER: ["10.0.0.7"],
    "both.evil.test": ["93.184.215.14", "127.0.0.1"],
    "mapped.evil.test": ["::ffff:127.0.0.1"],
    "local.evil.test": ["::1"],
    "metadata.evil.test": ["169.254.169.254"],
    "nobody.evil.test": [],
    "localhost": ["127.0.0.1", "::1"],
    "2130706433": ["127.0.0.1"],
    "0x7f000001": ["127.0.0.1"],
}
HERE = f"http://{HOST}:{PORT}"

# What is sent, and what the refusal says.
URLS = [
    ("file:///etc/passwd", "must begin with"),
    ("FILE:/etc/passwd", "must begin with"),
    ("/etc/passwd", "must begin with"),
    ("..\\picture.png", "must begin with"),
    ("ftp://cdn.example/a.png", "must begin with"),
    ("gopher://127.0.0.1:6379/_FLUSHALL", "must begin with"),
    ("blob:https://cdn.example/1", "must begin with"),
    ("javascript:alert(1)", "must begin with"),
    ("", "must begin with"),
    (" http://cdn.example/a.png", "must begin with"),
    ("http://" + "a" * 9000, "a URL to fetch may have"),
    ("http://", "host"),
    ("http://:80/", ""),
    ("http://[::1", "no valid URL"),
    ("http://cdn.example:99999/", "no valid URL"),
    ("http://cdn.example:x/", ""),
    ("http://%31%32%37.0.0.1/", "no valid host"),
    ("http://cdn.example%00.evil.test/", "no valid host"),
    ("http://cdn.example/\r\nHost: evil", ""),
    ("http://cdn.example\\@127.0.0.1/", ""),
    ("http://a b/", "host"),
    ("http://cdn..example/", "host"),
    ("http://user:secret@cdn.example/a.png", "a user or a password"),
    ("http://cdn.example@127.0.0.1/a.png", "a user or a password"),
    (f"http://127.0.0.1:{PORT}/picture", "not public"),
    (f"http://127.0.0.2:{PORT}/picture", "not public"),
    (f"http://localhost:{PORT}/picture", "not public"),
    (f"http://localhost.:{PORT}/picture", "not public"),
    (f"http://0.0.0.0:{PORT}/picture", "not public"),
    (f"http://[::1]:{PORT}/picture", "not public"),
    (f"http://[::]:{PORT}/picture", "not public"),
    (f"http://[::ffff:127.0.0.1]:{PORT}/picture", "not public"),
    (f"http://[::ffff:7f00:1]:{PORT}/picture", "not public"),
    (f"http://[64:ff9b::7f00:1]:{PORT}/picture", "not public"),
    (f"http://[fe80::1%25eth0]:{PORT}/picture", ""),
    (f"http://2130706433:{PORT}/picture", "no valid host"),
    (f"http://0x7f000001:{PORT}/picture", "no valid host"),
    (f"http://0177.0.0.1:{PORT}/picture", "no valid host"),
    (f"http://127.1:{PORT}/picture", "no valid host"),
    (f"http://①②⑦.⓪.⓪.①:{PORT}/picture", ""),
    ("http://169.254.169.254/latest/meta-data/", "not public"),
    ("http://[fd00:ec2::254]/latest/meta-data/", "not public"),
    ("http://168.63.129.16/metadata", "not public"),
    ("http://10.0.0.1/", "not public"),
    (f"http://{INNER}:{PORT}/picture", "not public"),
    (f"http://both.evil.test:{PORT}/picture", "not public"),
    (f"http://mapped.evil.test:{PORT}/picture", "not public"),
    (f"https://local.evil.test:{PORT}/picture", "not public"),
    ("http://metadata.evil.test/computeMetadata/v1/", "not public"),
    ("http://nobody.evil.test/a.png", "not known"),
    ("http://unknown.evil.test/a.png", "not known"),
    ("http://cdn.example:22/", "port 22"),
    ("http://cdn.example:6379/", "port 6379"),
    ("https://cdn.example:8001/admin", "port 8001"),
    (f"{HERE}/to?url=http://127.0.0.1:{PORT}/picture", "not public"),
    (f"{HERE}/to?url=//localhost:{PORT}/picture", "not public"),
    (f"{HERE}/to?url=http://169.254.169.254/", "not public"),
    (f"{HERE}/to?url=file:///etc/passwd", "neither https:// nor http://"),
    (f"{HERE}/to?url=data:image/png;base64,AAAA", "neither https:// nor http://"),
    (f"{HERE}/to?url=http://user:pw@{HOST}:{PORT}/picture", "a user or a password"),
    (f"{HERE}/to?url=http://{INNER}:{PORT}/picture", "not public"),
    (f"{HERE}/to?url=http://2130706433:{PORT}/picture", "no valid host"),
    (f"{HERE}/to?url=http://[", "no valid URL"),
    (f"{HERE}/nowhere", "redirects to nowhere"),
    (f"{HERE}/hops?n=20", "redirected more than"),
    (f"{HERE}/empty", "an empty file"),
    (f"{HERE}/status?404", "the status 404"),
    (f"{HERE}/status?500", "the status 500"),
    (f"{HERE}/status?204", "the status 204"),
    (f"{HERE}/status?206", "the status 206"),
    (f"{HERE}/endless", "server.media.max_bytes"),
    (f"{HERE}/announced", "server.media.max_bytes"),
    (f"{HERE}/bomb", "server.media.max_bytes"),
    (f"{HERE}/half", "compresses it"),
    (f"{HERE}/brotli", "compresses it"),
    (f"{HERE}/cut", "breaks off"),
    (f"https://{HOST}:{PORT}/picture", "secure connection"),
    ("data:", "must be base64"),
    ("data:,hello", "must be base64"),
    ("data:image/png,AAAA", "must be base64"),
    ("data:image/png;base64", "must be base64"),
    ("data:" + "a" * 10_000 + ";base64,AAAA", "must be base64"),
    ("data:text/html;base64,AAAA", '"text/html"'),
    ("data:application/pdf;base64,AAAA", '"application/pdf"'),
    ("data:video/mp4;base64,AAAA", '"video/mp4"'),
    (PNG, "must not be empty"),
    (PNG + "AAA", "no valid base64"),
    (PNG + "AA A", "no valid base64"),
    (PNG + "AA-_", "no valid base64"),
    (PNG + "é" * 4, "no valid base64"),
    (PNG + "A" * 2**18, "server.media.max_bytes"),
]
PARTS = [
    ({"type": "image_url"}, ".image_url"),
    ({"type": "image_url", "image_url": None}, ".image_url"),
    ({"type": "image_url", "image_url": 1}, ".image_url"),
    ({"type": "image_url", "image_url": ["x"]}, ".image_url"),
    ({"type": "image_url", "image_url": {}}, ".image_url.url"),
    ({"type": "image_url", "image_url": {"url": {"url": "x"}}}, ".image_url.url"),
    ({"type": "image_url", "image_url": {"url": PNG + "AAAA", "detail": "best"}}, ".image_url.detail"),
    ({"type": "image_url", "image_url": PNG + "AAAA", "fps": 2}, ".fps"),
    ({"type": "image_url", "image_url": {"url": PNG + "AAAA", "max_frames": 2}}, ".image_url.max_frames"),
    ({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA", "detail": "high"}}, ".video_url.detail"),
    ({"type": "input_image", "file_id": "file-1"}, ".file_id"),
    ({"type": "image", "image": PNG + "AAAA", "image_url": PNG + "AAAA"}, ".image"),
    ({"type": "video", "video": []}, ".video"),
    ({"type": "video", "video": [PNG + "AAAA", "file:///x"]}, ".video[1]"),
    ({"type": "video", "video": [PNG + "AAAA"] * 1000}, ".video"),
    ({"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA", "fps": -1}}, ".video_url.fps"),
    ({"type": "video_url", "video_url": "data:video/mp4;base64,AAAA", "max_frames": 10**9}, ".max_frames"),
    ({"type": "video_url", "video_url": "data:text/plain;base64,AAAA"}, ".video_url"),
]


def chat(part):
    return {"model": "tiny", "messages": [{"role": "user", "content": [{"type": "text", "text": "what is it?"}, part]}]}


@pytest.fixture
async def hurt(showing, pictures):
    """The same, where names lead to forbidden places at the port of the pictures' server, which would tell of it."""
    showing.names |= NAMES
    showing.set_media(max_bytes=2**16, timeout=20.0)
    showing.worker.script = echo
    return showing


async def refused(server, part):
    status, answer, _ = await server.answer(chat(part))
    assert (status, server.worker.submitted, server.gallery.held) == (400, [], 0), answer
    return answer["error"]


async def still_serves(server, pictures):
    server.worker.submitted.clear()
    status, answer, _ = await server.answer(chat({"type": "image_url", "image_url": {"url": pictures.url("/picture")}}))
    assert status == 200, answer
    assert server.worker.submitted[0].generate.prompt.messages[0].media[0].files == [PICTURE]


async def test_urls(hurt, pictures):
    wrong = []
    for url, said in URLS:
        error = await refused(hurt, {"type": "image_url", "image_url": {"url": url.replace(PORT, str(pictures.port))}})
        if (error["param"], said in error["message"]) != ("messages[0].content[1].image_url.url", True) or "secret" in error["message"]:
            wrong.append((url, error["message"]))
    assert wrong == []
    assert "/picture" not in pictures.asked
    await still_serves(hurt, pictures)


async def test_parts(hurt, pictures):
    for part, where in PARTS:
        error = await refused(hurt, part)
        assert error["param"] == f"messages[0].content[1]{where}", (part, error)
    await still_serves(hurt, pictures)


@pytest.mark.parametrize("path", ["/silent", "/slow"])
async def test_what_never_ends_takes_its_time_only(hurt, pictures, path):
    hurt.set_media(timeout=0.05)
    error = await refused(hurt, {"type": "image_url", "image_url": {"url": pictures.url(path)}})
    assert "within 50ms (server.media.timeout)" in error["message"]
    hurt.set_media(timeout=20.0)
    await still_serves(hurt, pictures)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 10_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_what_speaks_no_http(hurt, pictures, data):
    async with saying(data) as port:
        hurt.set_media(allowed_hosts=(f"{HOST}:{port}", f"{HOST}:{pictures.port}"))
        error = await refused(hurt, {"type": "image_url", "image_url": {"url": f"http://{HOST}:{port}/"}})
    assert "cannot be fetched" in error["message"]
    await still_serves(hurt, pictures)


async def test_a_name_is_looked_up_once_and_the_connection_goes_there(hurt, pictures):
    await still_serves(hurt, pictures)
    assert hurt.looked_up == [HOST]


def test_no_socket_is_made_for_an_address_that_was_not_looked_at():
    where = destination(URL("http://cdn.example/a.png"), MediaTable())
    connected = _socket_factory(where)
    with pytest.raises(PermissionError):
        connected((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80)))
    connected((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("93.184.215.14", 80))).close()
