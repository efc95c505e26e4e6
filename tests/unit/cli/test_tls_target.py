"""Commands that talk to an admin listener with TLS: it is known by the certificate that the file names, or by the system's authorities."""

import json

import pytest

from mlxd.admin.app import build_admin_app
from mlxd.config.address import parse_address
from mlxd.config.certificates import CertificateFiles
from mlxd.listener.security import SecurityRules
from mlxd.listener.server import Listener
from mlxd.listener.tls import new_context
from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
async def secure(daemon, authority, tmp_path):
    """An admin listener, with the file that names it; its certificate is for another host than where it is asked."""
    pair = authority.issue(tmp_path, "mlx.example")
    context = new_context(CertificateFiles("admin.tls", pair.certificate, pair.key))
    app = build_admin_app(daemon.sources, lambda: SecurityRules(content_types=frozenset({"application/json"})))
    listener = Listener(app, [parse_address("127.0.0.1:0")], tls=lambda: context)
    await listener.start()
    address = str(listener.addresses[0])
    (tmp_path / "mlxd.toml").write_text(f'[admin]\nlisten = "{address}"\n[admin.tls]\ncertificate = "tls.pem"\nkey = "tls.key"\n')
    yield address
    await listener.stop()


async def test_by_the_certificate_of_the_file(run, secure):
    ran = await run("status", "--config", "mlxd.toml", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["pid"] == 41
    assert (await run("status", "--config", "mlxd.toml", "--admin", secure)).code == 0


async def test_another_certificate_of_the_same_authority_is_not_it(run, secure, authority, tmp_path):
    authority.issue(tmp_path, "mlx.example")
    ran = await run("status", "--config", "mlxd.toml")
    assert ran.code == 69
    assert "is not trusted" in ran.err
    assert "admin.tls" in ran.err


async def test_by_url_with_the_authorities_of_the_system(run, secure, authority, tmp_path, monkeypatch):
    ran = await run("status", "--admin", f"https://{secure}")
    assert (ran.code, "is not trusted" in ran.err) == (69, True)
    authority.write(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    ran = await run("status", "--admin", f"https://{secure}")
    assert (ran.code, "mismatch" in ran.err) == (69, True)  # trusted, and for another host
    assert (await run("status", "--admin", "https://[::1", "--json")).code == 64


async def test_plain_http_is_told(run, secure):
    ran = await run("status", "--admin", secure)
    assert (ran.code, "use https://" in ran.err) == (1, True)


async def test_a_file_that_names_no_certificate(run, secure, tmp_path):
    (tmp_path / "tls.pem").write_text("")
    ran = await run("status", "--config", "mlxd.toml")
    assert ran.code == 78
    assert "admin.tls.certificate" in ran.err
