"""Origins of browsers and desktop apps: how they are written in the configuration, and which of them a request's ``Origin`` is.

::

    https://chat.example        one site              https://*.example.com   any name below a domain
    http://localhost:*          any port              app://obsidian.md       an app, an extension
    vscode-webview://*          any of a scheme       null                    pages that have none
    *                           any
"""

import re

from mlxd.config.address import is_host

_WEB = {"http": ":80", "https": ":443"}  # with the port that a browser leaves out
_HOST_AND_PORT = re.compile(r"(\[[0-9a-f:.]+\]|[^:/\[\]]*)(:(?:[0-9]{1,5}|\*))?")
_APP = re.compile(r"[a-z][a-z0-9+.-]*://(\*|[a-z0-9._-]*(:[0-9]{1,5})?)")
_EXPECTED = (
    'must be an origin in lower case with nothing after host and port, such as "https://chat.example", "http://localhost:*", '
    '"https://*.example.com", "app://obsidian.md" or "vscode-webview://*"'
)


def check_listed(value: str) -> str:
    """Returns an origin as it may be listed. Raises ``ValueError`` saying what it must be."""
    if value in ("*", "null"):
        return value
    scheme, _, rest = value.partition("://")
    if not (_is_web(rest) if scheme in _WEB else _APP.fullmatch(value)):
        raise ValueError(_EXPECTED)
    return value


def is_listed(origin: str, listed: str) -> bool:
    """Tells whether a request's origin is what one entry of the list stands for."""
    origin = origin.lower()
    if listed in ("*", origin):
        return True
    scheme, _, rest = listed.partition("://")
    found_scheme, _, found = origin.partition("://")
    if scheme != found_scheme:
        return False
    return rest == "*" or (scheme in _WEB and _is_site(found, rest, _WEB[scheme]))


def _is_web(rest: str) -> bool:
    found = _HOST_AND_PORT.fullmatch(rest)
    if found is None:
        return False
    below = found[1].removeprefix("*.")
    return is_host(below.strip("[]")) and ("." in below or below == found[1])  # "*.com" would be half the world


def _is_site(found: str, listed: str, default_port: str) -> bool:
    site, wanted = _HOST_AND_PORT.fullmatch(found), _HOST_AND_PORT.fullmatch(listed)
    if site is None or wanted is None:
        return False
    host, port = site[1], site[2] or default_port
    is_host_right = host.endswith(wanted[1][1:]) and len(host) >= len(wanted[1]) if wanted[1].startswith("*.") else host == wanted[1]
    return is_host_right and wanted[2] in (":*", port, None if port == default_port else port)
