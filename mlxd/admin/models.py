"""``GET /admin/v1/models`` and ``…/models/{id}``: desired and actual state of the models, and what they hold."""

from collections.abc import Iterable
from dataclasses import asdict

import msgspec
from aiohttp import web

from mlxd.admin import adapters, answers
from mlxd.admin.exchange import reply
from mlxd.admin.keys import SOURCES, AdminSources
from mlxd.config.keys import Key
from mlxd.config.task_checks import unused
from mlxd.control.model.status import ModelStatus
from mlxd.control.telemetry import CacheCounters, HistogramCounts, TokenCounters
from mlxd.types import BlockFigures, EntryFigures, ResolvedLimits
from mlxd.wire.attention_facts import AttentionFacts
from mlxd.wire.key_value_facts import KeyValueFacts
from mlxd.wire.messages import Heartbeat, Progress, Ready
from mlxd.wire.model_facts import ModelFacts


async def list_all(request: web.Request) -> web.Response:
    """List all models of the configuration, and those that are being removed."""
    return reply(answers.ModelList(models=describe_all(request.app[SOURCES])))


async def show(request: web.Request) -> web.Response:
    """Show one model, by id or alias."""
    sources = request.app[SOURCES]
    return reply(describe(sources.models.status(request.match_info["id"]), sources))


def describe_all(sources: AdminSources) -> list[answers.Model]:
    """Returns one document for each model, in the file's order."""
    return [describe(status, sources) for status in sources.models.statuses()]


def describe(status: ModelStatus, sources: AdminSources) -> answers.Model:
    """Describes a model. What is unknown while no worker is ready is null."""
    ready, heartbeat = status.ready, status.heartbeat
    return answers.Model(
        id=status.name,
        aliases=status.config.aliases,
        source=status.config.source,
        tasks=status.tasks,
        desired_state=status.desired,
        state=status.state,
        since=answers.timestamp(status.since),
        pid=status.pid,
        replacing=status.is_replacing,
        leaving_pids=status.leaving,
        differs=status.differs,
        progress=_progress(status.progress),
        restarts=status.restarts,
        restart_in_seconds=status.restart_in,
        last_error=status.last_error,
        requests=answers.RequestCounts(running=status.running, waiting=status.waiting),
        memory=None if heartbeat is None else worker_memory(heartbeat),
        reserved_bytes=sources.memory().reserved.get(status.name, 0),
        tokens=_tokens(sources.token_counters(status.name)),
        time_to_first_token=_histogram(sources.first_token_counts(status.name)),
        cache=_cache(status, sources.cache_counters(status.name)),
        limits=_limits(status.limits),
        speculation=_speculation(ready),
        attention=_attention(ready.attention) if ready and ready.attention else None,
        keys_and_values=_keys_and_values(ready.keys_and_values) if ready and ready.keys_and_values else None,
        adapters=[adapters.describe(status, figures) for figures in status.adapters],
        encoding=answers.Encoding(**msgspec.structs.asdict(ready.encoding)) if ready and ready.encoding else None,
        runner=_runner(ready),
        device=ready.device if ready else None,
        dtype=ready.dtype if ready else None,
        context_length=ready.context_length if ready else None,
        vocabulary_size=ready.vocab_size if ready else None,
        facts=_facts(ready.facts, status.unused_keys) if ready else None,
        load_seconds=ready.load_seconds if ready else None,
        versions=ready.versions if ready else None,
    )


def worker_memory(heartbeat: Heartbeat) -> answers.WorkerMemory:
    """Returns what a worker holds, part by part."""
    return answers.WorkerMemory(**{f"{kind}_bytes": size for kind, size in heartbeat.memory.kinds.items()})


def _progress(progress: Progress | None) -> answers.LoadProgress | None:
    if progress is None:
        return None
    share = min(1.0, progress.done / progress.total) if progress.total else None
    return answers.LoadProgress(stage=progress.stage, done_bytes=progress.done, total_bytes=progress.total, fraction=share)


_NOT_HERE = {"pins", "quotas", "adapters"}  # others tell what becomes of them


def _limits(limits: ResolvedLimits | None) -> answers.WorkerLimits | None:
    if limits is None:
        return None
    disk = limits.disk and answers.DiskLimits(
        path=limits.disk.path, limit_bytes=limits.disk.limit, write_budget_bytes=limits.disk.write_budget
    )
    restraint = answers.Restraint(**msgspec.structs.asdict(limits.restraint))
    told = {name: value for name, value in msgspec.structs.asdict(limits).items() if name not in _NOT_HERE}
    return answers.WorkerLimits(**told | {"disk": disk, "restraint": restraint})


def _cache(status: ModelStatus, counters: CacheCounters) -> answers.Cache:
    figures = status.heartbeat.cache if status.heartbeat else None
    kept = figures.kept if figures else None
    blocks = kept if isinstance(kept, BlockFigures) else None
    return answers.Cache(
        kind=status.config.cache.kind,
        blocks=_blocks(blocks) if blocks else None,
        entries=kept.count if isinstance(kept, EntryFigures) else None,
        snapshots=blocks.snapshots if blocks else None,
        used_bytes=figures.bytes_used if figures else None,
        cached_bytes=figures.bytes_cached if figures else None,
        saved_bytes=blocks.bytes_saved if blocks else None,
        limit_bytes=figures.limit_bytes if figures else None,
        pinned_bytes=figures.bytes_pinned if figures else None,
        pins=[answers.Pin(**msgspec.structs.asdict(pin)) for pin in figures.pins] if figures else [],
        keys={name: answers.KeyShare(held_bytes=one.held, quota_bytes=one.quota) for name, one in figures.keys.items()} if figures else {},
        media=answers.SeenMedia(**msgspec.structs.asdict(figures.media)) if figures and figures.media else None,
        query_tokens=counters.query_tokens,
        hit_tokens=counters.hit_tokens,
        lookups=answers.Lookups(hit=counters.hits, prefix_hit=counters.prefix_hits, miss=counters.misses),
    )


def _tokens(counters: TokenCounters) -> answers.Tokens:
    return answers.Tokens(**asdict(counters))


def _histogram(values: HistogramCounts) -> answers.Histogram:
    return answers.Histogram(bounds=values.bounds, counts=values.counts)


def _blocks(figures: BlockFigures) -> answers.Blocks:
    return answers.Blocks(used=figures.used, shared=figures.shared, cached=figures.cached, free=figures.free)


def _facts(facts: ModelFacts, unused_keys: Iterable[Key]) -> answers.Facts:
    return answers.Facts(
        context_origin=facts.context_origin,
        vocabulary_origin=facts.vocabulary_origin,
        end_tokens=[answers.EndToken(id=token.id, text=token.text, origins=token.origins) for token in facts.end_tokens],
        chat_template_origin=facts.chat_template,
        tools=facts.tools,
        tools_origin=facts.tools_origin,
        reasoning=facts.reasoning,
        reasoning_origin=facts.reasoning_origin,
        weight_files=facts.weight_files,
        weights_origin=facts.weights_origin,
        library=facts.library,
        library_origin=facts.library_origin,
        sight=facts.sight,
        warnings=[*facts.warnings, *map(unused, unused_keys)],
        draft=None if facts.draft is None else answers.DraftModel(**msgspec.structs.asdict(facts.draft)),
    )


def _speculation(ready: Ready | None) -> answers.Speculation | None:
    return answers.Speculation(kinds=ready.speculation.kinds, reason=ready.speculation.reason) if ready else None


def _attention(facts: AttentionFacts) -> answers.Attention:
    ways = [answers.WayOfAttention(way=one.way, state=one.state, reason=one.reason) for one in facts.ways]
    return answers.Attention(asked=facts.wish, ways=ways)


def _keys_and_values(facts: KeyValueFacts) -> answers.KeysAndValues:
    quality = facts.quality
    return answers.KeysAndValues(
        asked=facts.wish,
        layers=[answers.LayerStorage(**msgspec.structs.asdict(one)) for one in facts.layers],
        token_bytes=facts.token_bytes,
        plain_token_bytes=facts.plain_token_bytes,
        quality=None if quality is None else answers.KeyValueQuality(**msgspec.structs.asdict(quality)),
    )


def _runner(ready: Ready | None) -> answers.Runner | None:
    """Describes what the worker decided when it loaded."""
    if ready is None:
        return None
    made = ready.compilation
    compiled = None if made is None else answers.Compilation(used=made.is_used, reason=made.reason)
    return answers.Runner(name=ready.runner, reason=ready.runner_reason, fallback=ready.is_fallback, compiled=compiled)
