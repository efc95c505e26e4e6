"""What OpenAI offers of stored responses: nothing is stored here, and whoever asks is told so."""

from aiohttp import web

from mlxd.errors import NotFoundError, excerpt

RESPONSE = "/v1/responses/{id}"
CANCEL = "/v1/responses/{id}/cancel"
INPUT_ITEMS = "/v1/responses/{id}/input_items"
COMPACT = "/v1/responses/compact"


async def find_response(request: web.Request) -> web.Response:
    name = excerpt(request.match_info["id"])
    raise NotFoundError(f"no response {name!r} is stored: mlxd stores none; a conversation goes on with all of it as input", param="id")


async def compact(_request: web.Request) -> web.Response:
    raise NotFoundError("nothing is compacted here; ask the model itself for a summary, by POST /v1/responses")
