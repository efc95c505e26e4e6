"""Certificates that tests issue themselves."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True)
class Pair:
    """The two files of a listener's certificate."""

    certificate: Path
    key: Path

    @property
    def toml(self):
        return f'certificate = "{self.certificate}"\nkey = "{self.key}"\n'


class Authority:
    """A certificate authority of one test run."""

    def __init__(self):
        self._ca = trustme.CA()

    def issue(self, directory, *names, stem="tls", **options):
        """Write a pair for these names (default: this machine), in place of what is there: the key first, then the certificate."""
        issued = self._ca.issue_cert(*(names or ("localhost", "127.0.0.1")), **options)
        pair = Pair(directory / f"{stem}.pem", directory / f"{stem}.key")
        replace(pair.key, issued.private_key_pem.bytes())
        pair.key.chmod(0o600)
        replace(pair.certificate, b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return pair

    def client(self):
        """What a client that trusts this authority begins a connection with."""
        return ssl.create_default_context(cadata=self._ca.cert_pem.bytes().decode())  # and nobody else: to read all others takes 20 ms

    def write(self, path):
        """Write what clients are to trust."""
        self._ca.cert_pem.write_to_path(str(path))


def replace(path, data):
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(data)
    new.replace(path)
