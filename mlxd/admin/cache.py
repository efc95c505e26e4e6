"""``POST …/models/{id}/evict`` and ``POST /admin/v1/evict``: drop what prefix caches keep for later requests."""

from aiohttp import web

from mlxd.admin import answers
from mlxd.admin.exchange import reply
from mlxd.admin.keys import SOURCES, AdminSources
from mlxd.errors import ModelNotFoundError, UnavailableError


async def evict(request: web.Request) -> web.Response:
    """Drop what one model's prefix cache keeps for later requests. What running requests use stays."""
    sources = request.app[SOURCES]
    return reply(await _evict(sources, sources.models.identify(request.match_info["id"])))


async def evict_all(request: web.Request) -> web.Response:
    """Drop what the prefix caches of all ready models keep for later requests."""
    sources = request.app[SOURCES]
    evicted = []
    for status in sources.models.statuses():
        if status.ready is not None:
            try:
                evicted.append(await _evict(sources, status.name))
            except (UnavailableError, ModelNotFoundError):  # it goes, or is being removed, and its cache with it
                continue
    return reply(answers.EvictionList(evicted=evicted))


async def _evict(sources: AdminSources, model: str) -> answers.Eviction:
    dropped = await sources.models.evict_cache(model)
    return answers.Eviction(model=model, entries=dropped.entries, bytes=dropped.bytes)
