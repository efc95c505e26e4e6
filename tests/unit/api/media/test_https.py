"""Files are fetched from servers that somebody trusts, and from no other."""

import ssl

import certifi
import pytest
from aiohttp import web

from mlxd.api.media.authorities import trusted
from tests.support.certificates import Authority
from tests.support.fake_registry import echo
from tests.support.media_server import HOST, PICTURE


@pytest.fixture
def authority(tmp_path, monkeypatch):
    made = Authority()
    made.write(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    trusted.cache_clear()
    yield made
    trusted.cache_clear()


@pytest.fixture
async def secure(authority, tmp_path, server):
    """A server of one picture, whose certificate is for a name."""

    async def picture(_request):
        return web.Response(body=PICTURE)

    app = web.Application()
    app.router.add_get("/a.png", picture)
    pair = authority.issue(tmp_path, HOST)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    server.names |= {HOST: ["127.0.0.1"], "other.test": ["127.0.0.1"]}
    server.set_media(allowed_hosts=(f"{HOST}:{port}", f"other.test:{port}"))
    server.worker.script = echo
    yield port
    await runner.cleanup()


async def ask(server, host, port):
    part = {"type": "image_url", "image_url": {"url": f"https://{host}:{port}/a.png"}}
    status, answer, _ = await server.answer({"model": "tiny", "messages": [{"role": "user", "content": [part]}]})
    return status, answer


async def test_a_server_that_the_system_trusts(server, secure):
    assert (await ask(server, HOST, secure))[0] == 200
    assert server.worker.submitted[0].generate.prompt.messages[0].media[0].files == [PICTURE]


async def test_a_certificate_of_another_name(server, secure):
    status, answer = await ask(server, "other.test", secure)
    assert (status, "no secure connection" in answer["error"]["message"]) == (400, True)


async def test_a_certificate_of_nobody_known(server, secure, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    trusted.cache_clear()
    status, answer = await ask(server, HOST, secure)
    assert (status, "no secure connection" in answer["error"]["message"]) == (400, True)


@pytest.mark.parametrize(("known", "is_asked"), [(None, True), ("empty", True), ("one", False)])
def test_where_python_knows_nobody_it_is_mozilla_s_list(tmp_path, monkeypatch, known, is_asked):
    Authority().write(tmp_path / "mozilla.pem")
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    Authority().write(tmp_path / "one" / "a.pem")
    paths = ssl.get_default_verify_paths()._replace(cafile=None, capath=None if known is None else str(tmp_path / known))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(certifi, "where", lambda: str(tmp_path / "mozilla.pem"))
    trusted.cache_clear()
    names = str([certificate["subject"] for certificate in trusted().get_ca_certs()])
    trusted.cache_clear()
    assert ("trustme" in names) is is_asked
