"""Where the file of a picture or film is, as a request writes it: a ``data:`` URL, base64 by itself, or a URL to fetch."""

import re
from collections.abc import Mapping, Sequence

from mlxd.api.fields.validation import problem, quoted
from mlxd.api.media.asked import Inline, Remote, Source
from mlxd.errors import excerpt
from mlxd.listener.json_text import json_type
from mlxd.media_terms import MediaKind

_MOST_URL = 8_000  # characters, as long as servers take a line
_HTTP = re.compile(r"https?://", re.IGNORECASE)
_HEAD = re.compile(r"data:(?P<type>[^;,]*)(?P<parameters>(?:;[^;,]*)*),", re.IGNORECASE)
_LONGEST_HEAD = 200  # characters
_ANY_BYTES = ("", "application/octet-stream", "binary/octet-stream")
_WORDS = {MediaKind.IMAGE: "a picture", MediaKind.VIDEO: "a film"}
_MEDIA_TYPES: Mapping[MediaKind, Sequence[str]] = {MediaKind.IMAGE: ("image/",), MediaKind.VIDEO: ("video/", "image/")}
_FRAMES = "video/jpeg"  # how vLLM's clients send frames, as several base64 texts


def sources_of(url: object, kind: MediaKind, at: str = "") -> list[Source]:
    """Returns where the file is, or the files of several frames. To be raised by validators: a problem that says what is wrong; ``at``
    leads on from the field to the URL.
    """
    if not isinstance(url, str):
        raise problem(f"must be a string, not {json_type(url)}", at=at)
    if url[:5].lower() == "data:":
        return _inline(url, kind, at)
    if not _HTTP.match(url):
        raise problem(f'must begin with "data:", "https://" or "http://", not be {quoted(_scheme(url))}', at=at)
    if len(url) > _MOST_URL:
        raise problem(f"has {len(url)} characters; a URL to fetch may have {_MOST_URL}", at=at)
    return [Remote(url)]


def check_media_type(media_type: str, kind: MediaKind, at: str = "") -> str:
    """Returns what a file says that it is. Raises a problem where that is something else; what it is indeed, a worker finds out."""
    found = media_type.strip().lower()
    if found not in _ANY_BYTES and not found.startswith(tuple(_MEDIA_TYPES[kind])):
        raise problem(f'says that it is of the type "{excerpt(media_type)}", which is not that of {_WORDS[kind]}', at=at)
    return media_type


def _inline(url: str, kind: MediaKind, at: str) -> list[Source]:
    head = _HEAD.match(url, 0, _LONGEST_HEAD)
    if head is None or head["parameters"].lower().split(";")[-1] != "base64":
        raise problem('must be base64 where it is a "data:" URL, such as "data:image/png;base64,iVBORw…"', at=at)
    check_media_type(head["type"], kind, at)
    text = url[head.end() :]
    several = text.split(",") if head["type"].lower() == _FRAMES else [text]
    if not all(several):
        raise problem("must not be empty", at=at)
    return [Inline(one) for one in several]


def _scheme(url: str) -> str:
    """Returns what a refusal shows of what is no URL to fetch: not more of it than there has to be, it may be anything."""
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:", url)
    return scheme[0] if scheme else excerpt(url, 20)
