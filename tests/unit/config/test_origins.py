import pytest

from mlxd.config.origins import check_listed, is_listed

LISTED = [
    ("https://chat.example", "https://chat.example", True),
    ("https://chat.example", "HTTPS://Chat.Example", True),
    ("https://chat.example", "http://chat.example", False),
    ("https://chat.example", "https://chat.example:8443", False),
    ("https://chat.example", "https://chat.example.evil", False),
    ("https://chat.example:443", "https://chat.example", True),
    ("http://chat.example:443", "http://chat.example", False),
    ("http://localhost:*", "http://localhost:5173", True),
    ("http://localhost:*", "http://localhost", True),
    ("http://localhost:*", "https://localhost:5173", False),
    ("http://localhost:*", "http://localhost:5173.evil.example", False),
    ("http://localhost:*", "http://localhost.evil.example:80", False),
    ("http://[::1]:*", "http://[::1]:3000", True),
    ("https://*.example.com", "https://a.b.example.com", True),
    ("https://*.example.com", "https://example.com", False),
    ("https://*.example.com", "https://.example.com", False),
    ("https://*.example.com", "https://evilexample.com", False),
    ("https://*.example.com", "https://a.example.com:8443", False),
    ("https://*.example.com:*", "https://a.example.com:8443", True),
    ("https://*.example.com", "https://evil/a.example.com", False),
    ("https://*.example.com", "https://evil:a.example.com", False),
    ("vscode-webview://*", "vscode-webview://0a1b-2c", True),
    ("vscode-webview://*", "vscode-webview-evil://0a1b", False),
    ("moz-extension://*", "chrome-extension://a", False),
    ("app://obsidian.md", "app://obsidian.md", True),
    ("app://obsidian.md", "app://obsidian.md.evil", False),
    ("file://", "file://", True),
    ("null", "null", True),
    ("app://*", "null", False),
    ("*", "null", True),
    ("*", "anything", True),
]


@pytest.mark.parametrize(("listed", "origin", "expected"), LISTED)
def test_listed(listed, origin, expected):
    assert check_listed(listed) == listed
    assert is_listed(origin, listed) is expected


NEVER_LISTED = [
    *("", "NULL", "a b://c", "*://a", "APP://a", "app://a/b", "app://a*"),
    *("https://*", "http://*:80", "https://*.com", "https://*.*", "https://*.1.2.3", "https://a*.example.com"),
    *("https://a.example.com:", "https://a:123456", "https://a/b", "https://u@a", "https://[::1"),
]


@pytest.mark.parametrize("value", NEVER_LISTED)
def test_what_cannot_be_listed(value):
    with pytest.raises(ValueError, match="must be an origin"):
        check_listed(value)
