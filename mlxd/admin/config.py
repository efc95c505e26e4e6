"""``GET /admin/v1/config``: the running snapshot with secrets redacted; its ``ETag`` is the file's SHA-256."""

from aiohttp import hdrs, web

from mlxd.admin.keys import SOURCES


async def show(request: web.Request) -> web.Response:
    """200 with the snapshot; 304 when ``If-None-Match`` names it already."""
    running = request.app[SOURCES].config()
    headers = {hdrs.ETAG: f'"{running.sha256}"', hdrs.CACHE_CONTROL: "no-cache"}
    if any(tag.value in {running.sha256, "*"} for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.json_response(running.document, headers=headers)
