"""What the OpenAPI descriptions of all listeners share: how they are served, and how paths and docstrings become parts of them."""

import inspect
import re
from collections.abc import Callable

from aiohttp import web

VERSION = "3.1.0"
DOCUMENT: web.AppKey[Callable[[], bytes]] = web.AppKey("openapi")

_PARAMETER = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_SENTENCE_END = re.compile(r"(?<=[.?])\s+(?=[A-Z0-9])")


async def show(request: web.Request) -> web.Response:
    """Show what this API takes and answers, as OpenAPI describes it."""
    return web.Response(body=request.app[DOCUMENT](), content_type="application/json")


def template(path: str) -> str:
    """Returns a path as OpenAPI writes it, of one as aiohttp's router does: without the patterns of its parameters."""
    return _PARAMETER.sub(r"{\1}", path)


def parameters(path: str) -> list[str]:
    """Returns the names of the parameters in a path."""
    return _PARAMETER.findall(path)


def said(text: str) -> dict[str, str]:
    """Returns what a docstring, or a text like one, says as an operation's ``summary``, and its ``description`` where it goes on."""
    summary, *rest = _SENTENCE_END.split(" ".join(inspect.cleandoc(text).split()), maxsplit=1)
    return {"summary": summary.rstrip(".")} | ({"description": rest[0]} if rest else {})
