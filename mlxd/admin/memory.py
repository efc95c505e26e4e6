"""``GET /admin/v1/memory``: who has reserved how much of ``memory.limit``, and what of it is used."""

import psutil
from aiohttp import web

from mlxd.admin import answers
from mlxd.admin.exchange import reply
from mlxd.admin.keys import SOURCES, MemoryFacts
from mlxd.admin.models import used_bytes


async def show(request: web.Request) -> web.Response:
    """Show the memory ledger: the limit, and what each model has reserved and uses."""
    sources = request.app[SOURCES]
    memory, machine = sources.memory(), psutil.virtual_memory()
    models = [
        answers.ModelMemory(
            model=status.name,
            reserved_bytes=memory.reserved.get(status.name, 0),
            cache_share_bytes=memory.shares.get(status.name),
            used_bytes=used_bytes(status.heartbeat) if status.heartbeat else None,
        )
        for status in sources.models.statuses()
    ]
    return reply(
        answers.Memory(
            limit_bytes=memory.limit,
            reserved_bytes=memory.total,
            free_bytes=max(0, memory.limit - memory.total),
            machine_total_bytes=machine.total,
            machine_available_bytes=machine.available,
            models=models,
        )
    )


def totals(memory: MemoryFacts) -> answers.MemoryTotals:
    return answers.MemoryTotals(limit_bytes=memory.limit, reserved_bytes=memory.total, free_bytes=max(0, memory.limit - memory.total))
