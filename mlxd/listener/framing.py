"""Where one request ends and the next begins: what two readers could understand differently is refused, and after a refusal the
connection goes on only where that is certain.

The parser refuses the rest: two lengths, a length and chunks, folded headers, bare line feeds, sizes that are none (RFC 9112, 6.3
and 11.2).
"""

from aiohttp import HttpVersion11, web

from mlxd.errors import ForbiddenError, InvalidRequestError, excerpt

# A proxy in front may look at the first of two, and we at the other.
_SINGLE = ("Authorization", "Expect")
_CONTINUED = web.RequestKey("mlxd.continued", bool)


def check_framing(request: web.Request) -> None:
    """Raises ``InvalidRequestError`` for a transfer coding other than ``chunked``, an expectation other than to continue, and a header
    twice of which there can be one; and ``ForbiddenError`` for a target on another host.
    """
    if _has_odd_codings(request):
        codings = excerpt(", ".join(request.headers.getall("Transfer-Encoding")))
        raise InvalidRequestError(f'the Transfer-Encoding "{codings}" is not understood; only "chunked" is, in HTTP/1.1')
    if twice := [name for name in _SINGLE if len(request.headers.getall(name, ())) > 1]:
        raise InvalidRequestError(f"the header {twice[0]} is sent more than once, and may be sent once")
    if request.headers.get("Expect") and request.version >= HttpVersion11 and not _expects_continue(request):
        raise InvalidRequestError('the only expectation understood is "Expect: 100-continue"')
    if "://" in request.raw_path.partition("?")[0] and request.url.raw_authority.lower() != request.headers.get("Host", "").lower():
        raise ForbiddenError("the request's target names another host than its Host header")


async def expect_continue(_: web.Request) -> None:
    """Sends nothing yet, as the ``Expect`` handler of a route: a client that is to be refused must not send its body first."""


async def send_continue(request: web.Request) -> None:
    """Tells a client that waits for it to send its body. Is called when the body is wanted, once all that headers say is found right."""
    if _CONTINUED in request or request.version < HttpVersion11 or not _expects_continue(request):
        return  # RFC 9110, 10.1.1: ignored in HTTP/1.0
    request[_CONTINUED] = True
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # or aiohttp takes the interim answer for a begun response


async def close_where_unsure(request: web.Request, response: web.StreamResponse) -> None:
    """Says ``Connection: close``, as an ``on_response_prepare`` signal, where the next request might be taken for the rest of this one, or
    would not be heard.
    """
    if _holds_its_body_back(request) or request.content.exception() is not None or _is_unusual(request) or _is_retiring(request):
        response.force_close()
        response.headers["Connection"] = "close"


def _expects_continue(request: web.BaseRequest) -> bool:
    return any(expected.lower() == "100-continue" for expected in request.headers.getall("Expect", ()))


def _holds_its_body_back(request: web.Request) -> bool:
    """Tells whether the client holds its body back: it may send it all the same, or the next request in its place."""
    return not request.content.is_eof() and _expects_continue(request) and _CONTINUED not in request


def _is_unusual(request: web.BaseRequest) -> bool:
    """Tells whether aiohttp's parser is no guide to what follows: it stands still after an upgrade that is not taken, and reads a transfer
    coding that is refused as chunks.
    """
    return "Upgrade" in request.headers or request.method == "CONNECT" or _has_odd_codings(request)


def _has_odd_codings(request: web.BaseRequest) -> bool:
    codings = [coding.strip().lower() for coding in request.headers.getall("Transfer-Encoding", [])]
    return bool(codings) and (codings != ["chunked"] or request.version < HttpVersion11)


def _is_retiring(request: web.BaseRequest) -> bool:
    return bool(getattr(request.protocol, "retiring", False))
