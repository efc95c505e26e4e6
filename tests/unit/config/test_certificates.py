"""What can be wrong with a certificate and its key, and what is said of it."""

import os
import shutil

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

from mlxd.config.certificates import CertificateFiles, CertificateProblem, certificate_files, own_certificate, read_pair
from mlxd.config.loader import load_config
from tests.support.certificates import Authority

MODEL = '[models.m]\nsource = "builtin:smollm2-135m"\n'


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def pair(authority, tmp_path):
    return authority.issue(tmp_path, "mlx.example", "10.0.0.7", "*.lan.example")


def read(pair):
    return read_pair(CertificateFiles("server.tls", pair.certificate, pair.key))


def test_a_good_pair(pair):
    facts = read(pair)
    assert facts.names == ("mlx.example", "*.lan.example", "10.0.0.7")
    assert facts.valid_from < facts.expires
    assert not facts.key_is_exposed


def test_both_in_one_file(pair, tmp_path):
    both = tmp_path / "both.pem"
    for blobs in ([pair.key, pair.certificate], [pair.certificate, pair.key]):
        both.write_bytes(b"\n".join(path.read_bytes() for path in blobs))
        assert read_pair(CertificateFiles("server.tls", both, both)).names == read(pair).names


def test_text_before_a_certificate_is_no_harm(pair):
    pair.certificate.write_bytes("Prüfung: Café\n".encode("latin-1") + pair.certificate.read_bytes())
    assert "mlx.example" in read(pair).names
    assert own_certificate(pair.certificate).startswith("-----BEGIN")


def test_a_key_that_everybody_may_read(pair):
    pair.key.chmod(0o644)
    assert read(pair).key_is_exposed
    pair.key.chmod(0o640)  # a group of those who may read keys
    assert not read(pair).key_is_exposed


def missing(pair, _):
    pair.key.unlink()


def swapped(pair, _):
    shutil.copy(pair.key, pair.certificate)


def empty(pair, _):
    pair.certificate.write_bytes(b"")


def binary(pair, _):
    pair.certificate.write_bytes(os.urandom(1000))


def damaged(pair, _):
    lines = pair.certificate.read_bytes().splitlines()
    pair.certificate.write_bytes(b"\n".join([lines[0], *lines[2:]]))


def cut_off(pair, _):
    pair.key.write_bytes(pair.key.read_bytes()[:-30])


def encrypted(pair, _):
    key = load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))


def encrypted_the_old_way(pair, _):
    key = load_pem_private_key(pair.key.read_bytes(), None)
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"secret")))


def foreign(pair, authority):
    shutil.copy(authority.issue(pair.key.parent, stem="other").key, pair.key)


def chain_first(pair, authority):
    authority.write(pair.key.parent / "ca.pem")
    pair.certificate.write_bytes((pair.key.parent / "ca.pem").read_bytes() + pair.certificate.read_bytes())


def directory(pair, _):
    pair.key.unlink()
    pair.key.mkdir()


def pipe(pair, _):
    pair.key.unlink()
    os.mkfifo(pair.key)


def huge(pair, _):
    pair.key.write_bytes(b"x" * 300_000)


WRONG = [
    (missing, "key", "does not exist"),
    (swapped, "certificate", "holds no certificate in PEM"),
    (empty, "certificate", "holds no certificate in PEM"),
    (binary, "certificate", "holds no certificate in PEM"),
    (damaged, "certificate", "holds a damaged certificate"),
    (cut_off, "key", "holds no private key in PEM"),
    (encrypted, "key", "holds an encrypted key"),
    (encrypted_the_old_way, "key", "holds an encrypted key"),
    (foreign, "key", "does not belong to the first certificate"),
    (chain_first, "key", "does not belong to the first certificate"),
    (directory, "key", "cannot be read: Is a directory"),
    (pipe, "key", "cannot be read"),
    (huge, "key", "is larger than 256 KiB"),
]


@pytest.mark.parametrize(("spoil", "field", "text"), WRONG, ids=[spoil.__name__ for spoil, _, _ in WRONG])
def test_a_bad_pair(pair, authority, spoil, field, text):
    spoil(pair, authority)
    with pytest.raises(CertificateProblem, match=text) as caught:
        read(pair)
    assert caught.value.field == field
    assert str(getattr(pair, field)) in str(caught.value)
    assert "PRIVATE KEY-----\n" not in str(caught.value)


def test_metrics_have_the_pair_of_administration_or_their_own(tmp_path):
    file = tmp_path / "mlxd.toml"
    admin = '[admin]\nlisten = "127.0.0.1:8001"\n[admin.tls]\ncertificate = "tls/a.pem"\nkey = "~/a.key"\n'
    admin += '[metrics]\nlisten = "127.0.0.1:8002"\n'
    file.write_text(MODEL + admin)
    found = certificate_files(load_config(file, {}).config)
    assert found["admin"].certificate == tmp_path / "tls" / "a.pem"
    assert found["metrics"] == found["admin"]
    assert "inference" not in found
    file.write_text(MODEL + admin + '[metrics.tls]\ncertificate = "m.pem"\nkey = "m.key"\n')
    assert certificate_files(load_config(file, {}).config)["metrics"].key == tmp_path / "m.key"


def test_a_listener_without_a_tcp_address_has_none(tmp_path):
    file = tmp_path / "mlxd.toml"
    admin = '[admin]\nlisten = "127.0.0.1:8001"\n[admin.tls]\ncertificate = "a.pem"\nkey = "a.key"\n'
    file.write_text(MODEL + admin)
    assert list(certificate_files(load_config(file, {}).config)) == ["admin"]
    file.write_text(MODEL + admin.replace("127.0.0.1:8001", "unix:/run/a.sock") + '[metrics]\nlisten = "127.0.0.1:8002"\n')
    assert list(certificate_files(load_config(file, {}).config)) == ["metrics"]
