"""A listener's certificate and its key: two PEM files, which are read when they are needed and whenever they change."""

import hashlib
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlxd.config.address import TcpAddress
from mlxd.config.regular_file import read_at_most
from mlxd.config.schema import Config

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from cryptography.x509 import Certificate

MAX_FILE = 256 * 1024  # bytes

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(rb"-----BEGIN ((?:[A-Z0-9]+ )*)PRIVATE KEY-----.+?-----END (?:[A-Z0-9]+ )*PRIVATE KEY-----", re.DOTALL)

Field = Literal["certificate", "key"]


class CertificateProblem(Exception):  # noqa: N818 - it is no error of a request
    """A pair cannot be served, and which of its files is to blame."""

    def __init__(self, field: Field, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True)
class CertificateFiles:
    """The two files of one pair, by absolute paths, and the table that names them: ``server.tls``."""

    table: str
    certificate: Path
    key: Path

    def __iter__(self) -> Iterator[Path]:
        """Yields each file once."""
        return iter(dict.fromkeys((self.certificate, self.key)))


@dataclass(frozen=True)
class CertificateFacts:
    """What is known of a pair whose halves belong together."""

    names: tuple[str, ...]  # host names and addresses that it is for
    valid_from: float  # Unix time
    expires: float
    digests: tuple[str, str]  # SHA-256 of the certificate's file and of the key's
    key_is_exposed: bool  # everybody on this machine may read the key


@dataclass(frozen=True)
class CertificateState:
    """What one listener serves. ``problem`` says why the files as they are now are not what is served."""

    listener: str
    files: CertificateFiles
    facts: CertificateFacts
    problem: str | None = None


def certificate_files(config: Config) -> dict[str, CertificateFiles]:
    """Returns the pair of each listener that has one, and a TCP address for it; that of metrics is that of administration where it has none
    of its own.
    """
    metrics = ("metrics.tls", config.metrics.tls) if config.metrics.tls.certificate else ("admin.tls", config.admin.tls)
    listeners = {
        "admin": (config.admin.listen, "admin.tls", config.admin.tls),
        "inference": (config.server.listen, "server.tls", config.server.tls),
        "metrics": (config.metrics.listen or (), *metrics),
    }
    return {
        listener: CertificateFiles(name, Path(table.certificate), Path(table.key))
        for listener, (addresses, name, table) in listeners.items()
        if table.certificate and any(isinstance(address, TcpAddress) for address in addresses)
    }


def read_pair(files: CertificateFiles) -> CertificateFacts:
    """Reads both files, and proves that they belong together. Raises ``CertificateProblem``."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    certificate, key = _read("certificate", files.certificate), _read("key", files.key)
    leaf, public = _leaf(certificate, files.certificate), _public_key(key, files.key)
    shape = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if leaf.public_key().public_bytes(*shape) != public.public_bytes(*shape):
        text = "does not belong to the first certificate in the other file; the server's own certificate comes first there"
        raise CertificateProblem("key", _found(files.key, text))
    return CertificateFacts(
        names=_names(leaf),
        valid_from=leaf.not_valid_before_utc.timestamp(),
        expires=leaf.not_valid_after_utc.timestamp(),
        digests=(hashlib.sha256(certificate).hexdigest(), hashlib.sha256(key).hexdigest()),
        key_is_exposed=bool(files.key.stat().st_mode & stat.S_IROTH),
    )


def own_certificate(path: Path) -> str:
    """Returns the first certificate of a file as PEM: the server's own. Raises ``CertificateProblem``."""
    found = _CERTIFICATE.search(_read("certificate", path))
    if found is None:
        raise CertificateProblem("certificate", _found(path, "holds no certificate in PEM"))
    return found[0].decode("ascii", "replace")


def _read(field: Field, path: Path) -> bytes:
    try:
        data = read_at_most(path, MAX_FILE)
    except FileNotFoundError:
        raise CertificateProblem(field, _found(path, "does not exist")) from None
    except OSError as error:
        raise CertificateProblem(field, _found(path, f"cannot be read: {error.strerror}; mlxd's user must be able to")) from None
    if len(data) > MAX_FILE:
        raise CertificateProblem(field, _found(path, f"is larger than {MAX_FILE // 1024} KiB"))
    return data


def _leaf(data: bytes, path: Path) -> "Certificate":
    from cryptography.x509 import load_pem_x509_certificate

    found = _CERTIFICATE.search(data)
    if found is None:
        raise CertificateProblem("certificate", _found(path, 'holds no certificate in PEM ("-----BEGIN CERTIFICATE-----")'))
    try:
        return load_pem_x509_certificate(found[0])
    except ValueError:
        raise CertificateProblem("certificate", _found(path, "holds a damaged certificate")) from None


def _public_key(data: bytes, path: Path) -> "PublicKeyTypes":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    found = _KEY.search(data)
    if found is None:
        raise CertificateProblem("key", _found(path, 'holds no private key in PEM ("-----BEGIN PRIVATE KEY-----")'))
    if b"ENCRYPTED" in found[0]:
        text = "holds an encrypted key, and nobody is there to ask for its passphrase; decrypt it: openssl pkey -in KEY -out NEW, mode 0600"
        raise CertificateProblem("key", _found(path, text))
    try:
        return load_pem_private_key(found[0], None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateProblem("key", _found(path, "holds a private key that is damaged, or of a kind that is not known")) from None


def _names(certificate: "Certificate") -> tuple[str, ...]:
    from cryptography import x509

    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return tuple(str(name.value) for name in common)
    return (*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress)))


def _found(path: Path, text: str) -> str:
    return f'found "{path}", which {text}'
