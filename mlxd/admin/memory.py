"""``GET /admin/v1/memory``: who has reserved how much of ``memory.limit``, and what of it is used."""

import psutil
from aiohttp import web

from mlxd.admin import answers
from mlxd.admin.exchange import reply
from mlxd.admin.keys import SOURCES, MemoryFacts
from mlxd.admin.models import worker_memory
from mlxd.control.memory.giving_way import ExchangeState
from mlxd.control.memory.relief import ReliefState


async def show(request: web.Request) -> web.Response:
    """Show the memory ledger: the limit, and what each model has reserved and uses."""
    sources = request.app[SOURCES]
    memory, machine = sources.memory(), psutil.virtual_memory()
    models = [
        answers.ModelMemory(
            model=status.name,
            reserved_bytes=memory.reserved.get(status.name, 0),
            cache_share_bytes=memory.shares.get(status.name),
            used_bytes=status.heartbeat.memory.held if status.heartbeat else None,
            parts=worker_memory(status.heartbeat) if status.heartbeat else None,
        )
        for status in sources.models.statuses()
    ]
    return reply(
        answers.Memory(
            limit_bytes=memory.limit,
            reserved_bytes=memory.total,
            excess_bytes=memory.excess,
            free_bytes=max(0, memory.limit - memory.total - memory.excess),
            daemon_bytes=memory.daemon,
            relief=_relief(memory.relief),
            exchange=_exchange(memory.exchange),
            machine_total_bytes=machine.total,
            machine_available_bytes=machine.available,
            models=models,
        )
    )


def totals(memory: MemoryFacts) -> answers.MemoryTotals:
    free = max(0, memory.limit - memory.total - memory.excess)
    return answers.MemoryTotals(
        limit_bytes=memory.limit,
        reserved_bytes=memory.total,
        free_bytes=free,
        measures=memory.relief.measures,
        exchange=_exchange(memory.exchange),
    )


def _exchange(state: ExchangeState) -> answers.Exchange:
    turns = [
        answers.Turn(
            model=one.model,
            needs_bytes=one.size,
            requests=one.requests,
            waiting_seconds=one.waited,
            expected_seconds=one.likely,
        )
        for one in state.turns
    ]
    return answers.Exchange(turns=turns, closed=state.closed)


def _relief(state: ReliefState) -> answers.Relief:
    record = [
        answers.ReliefEntry(
            time=answers.timestamp(one.when),
            measure=one.measure,
            lifted=one.is_lifted,
            level=one.level.label,
            models=one.models,
            freed_bytes=one.freed,
        )
        for one in state.record
    ]
    level = None if state.level is None else state.level.label
    return answers.Relief(enabled=state.is_on, level=level, measures=state.measures, record=record)
