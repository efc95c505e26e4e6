"""``PUT /admin/v1/log-level``: for a while, without touching the file."""

from aiohttp import web

from mlxd.admin import answers
from mlxd.admin.exchange import read_document, reply
from mlxd.admin.keys import SOURCES


async def put(request: web.Request) -> web.Response:
    """Set the least severe level that is logged, until the next reload."""
    wanted = await read_document(request, answers.LogLevel)
    request.app[SOURCES].set_log_level(wanted.level)
    return reply(wanted)
