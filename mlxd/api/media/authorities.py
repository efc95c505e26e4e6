"""Whom connections to servers of pictures trust."""

import ssl
from functools import cache
from pathlib import Path

import certifi


@cache
def trusted() -> ssl.SSLContext:
    """Returns a context that trusts the system's authorities, or those of ``SSL_CERT_FILE``; and Mozilla's where Python finds none, as in
    its own installer for macOS and in bare containers.
    """
    return ssl.create_default_context(cafile=None if _are_known(ssl.get_default_verify_paths()) else certifi.where())


def _are_known(paths: ssl.DefaultVerifyPaths) -> bool:
    return bool(paths.cafile) or (bool(paths.capath) and any(Path(paths.capath).iterdir()))
