"""``GET /admin/v1/keys``: the holders of keys, what they may, and what they use."""

import time

from aiohttp import web

from mlxd.admin import answers
from mlxd.admin.exchange import reply
from mlxd.admin.keys import SOURCES
from mlxd.control.quotas.key_use import Right
from mlxd.control.quotas.key_uses import Holding


async def list_all(request: web.Request) -> web.Response:
    """List the keys by their names, with their limits and what their holders use. The keys themselves are shown nowhere."""
    return reply(answers.ApiKeyList(keys=[_describe(holding) for holding in request.app[SOURCES].holdings()]))


def _describe(holding: Holding) -> answers.ApiKey:
    holder, use = holding.holder, holding.use
    idle = use.idle_seconds
    return answers.ApiKey(
        name=holder.name,
        models=holder.models,
        limits=answers.KeyLimits(
            max_concurrent=holder.max_concurrent,
            requests_per_minute=holder.requests_per_minute,
            tokens_per_minute=holder.tokens_per_minute,
        ),
        priority=holder.priority,
        shares_cache=not holder.salt,
        running=use.running,
        requests_this_minute=use.requests_this_minute,
        tokens_this_minute=use.tokens_this_minute,
        tokens_held=use.held_tokens,
        requests=use.requests,
        tokens=answers.KeyTokens(prompt=use.used.prompt_tokens, cached=use.used.cached_tokens, completion=use.used.completion_tokens),
        refused={right: use.refused[right] for right in Right},
        last_used=None if idle is None else answers.timestamp(time.time() - idle),
    )
