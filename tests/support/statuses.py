"""Model statuses, heartbeats and sources of the admin API, made up for tests."""

import asyncio

import msgspec

from mlxd.admin.keys import AdminSources, DaemonFacts, ListenerFacts, MemoryFacts, RunningConfig
from mlxd.config.principal import ANONYMOUS
from mlxd.config.schema import ModelTable
from mlxd.control.disk_directories import DiskDirectories
from mlxd.control.live_requests import LiveRequests
from mlxd.control.memory.ledger import Ledger
from mlxd.control.model.status import ModelStatus
from mlxd.control.operations import Operations
from mlxd.control.quotas.key_uses import KeyUses
from mlxd.control.reload import Outcome, Result
from mlxd.control.telemetry import CacheCounters, HistogramCounts, TokenCounters
from mlxd.disk_terms import DiskFigures
from mlxd.errors import ConfigError, ModelLoadingError, ModelNotFoundError
from mlxd.media_terms import MediaFigures
from mlxd.types import (
    AttentionState,
    AttentionWay,
    BlockFigures,
    CacheFigures,
    EntryFigures,
    KeyValueType,
    MemoryFigures,
    ModelState,
    ResolvedLimits,
    Task,
    ToolShape,
)
from mlxd.wire.attention_facts import AttentionFacts, AttentionWayFacts
from mlxd.wire.encoding_facts import EncodingFacts
from mlxd.wire.key_value_facts import KeyValueFacts, KeyValueQuality, LayerStorage
from mlxd.wire.messages import CacheEvicted, Heartbeat, Ready, SpeculationFacts
from mlxd.wire.model_facts import EndToken, ModelFacts

SHA256 = "5e" * 32
SINCE = 1_767_323_045.5  # 2026-01-02T03:04:05.500Z

MEMORY = MemoryFigures(weights=100, kv=20, mlx_active=130, mlx_cache=7, mlx_peak=200, rss=300, grammars=3, footprint=300)
CACHE = CacheFigures(bytes_used=5, bytes_cached=15, limit_bytes=1000, kept=EntryFigures(count=3))
PAGED_CACHE = CacheFigures(
    bytes_used=60,
    bytes_cached=30,
    limit_bytes=160,
    kept=BlockFigures(used=6, shared=2, cached=3, free=7, bytes_saved=40),
    disk=DiskFigures(limit_bytes=1),
    media=MediaFigures(),
)
HEARTBEAT = Heartbeat(running=1, waiting=2, steps=9, busy_seconds=0.0, memory=MEMORY, cache=CACHE)
READY = Ready(
    runner="simple",
    runner_reason='batching.mode = "simple"',
    device="cpu",
    dtype="float32",
    context_length=2048,
    vocab_size=49152,
    weight_bytes=100,
    limits=ResolvedLimits(cache_bytes=0),
    load_seconds=1.5,
    speculation=SpeculationFacts(reason="its cache is not paged"),
    attention=AttentionFacts(
        wish="auto",
        ways=[
            AttentionWayFacts(AttentionWay.ROWS, AttentionState.USED, "everywhere else"),
            AttentionWayFacts(AttentionWay.GATHER, AttentionState.USED, "32 rows of about 128 tokens"),
            AttentionWayFacts(AttentionWay.KERNEL, AttentionState.UNAVAILABLE, "needs Metal or CUDA"),
        ],
    ),
    keys_and_values=KeyValueFacts(
        wish="int8",
        token_bytes=12240,
        plain_token_bytes=46080,
        layers=[
            LayerStorage(layers=28, kv_heads=3, key_dim=64, value_dim=64, type=KeyValueType.INT8, group=64, reason='cache.dtype = "int8"'),
            LayerStorage(layers=2, kv_heads=1, key_dim=80, value_dim=72, window=128, type=KeyValueType.MODEL, reason="no multiples of 32"),
        ],
        quality=KeyValueQuality(tokens=383, perplexity=18.14, plain_perplexity=18.1, agreement=0.995),
    ),
    versions={"mlx": "0.32.4", "mlx_lm": "0.32.2"},
    facts=ModelFacts(
        context_origin='config.json "max_position_embeddings"',
        vocabulary_origin="the width of the model's logits",
        end_tokens=[EndToken(id=2, text="<|im_end|>", origins=['config.json "eos_token_id"'])],
        chat_template="chat_template.jinja",
        tools=ToolShape.HERMES,
        tools_origin="chat_template.jinja has <tool_call>",
        reasoning_origin="nothing shows it",
        weight_files=["model.safetensors"],
        weights_origin="the one whole set of files",
        library="mlx-lm",
        library_origin='config.json has no "vision_config"',
    ),
)

EMBEDS = Ready(
    runner="encoder",
    runner_reason="modules.json",
    device="cpu",
    dtype="float32",
    context_length=256,
    vocab_size=30522,
    weight_bytes=90,
    limits=ResolvedLimits(cache_bytes=0),
    load_seconds=0.5,
    versions={"mlx": "0.32.4"},
    facts=ModelFacts(context_origin="sentence_bert_config.json", weight_files=["model.safetensors"], weights_origin="the only one"),
    tasks=(Task.EMBED,),
    encoding=EncodingFacts(
        most_tokens=256,
        most_tokens_origin="sentence_bert_config.json",
        dimension=384,
        least_dimension=32,
        pooling="mean",
        pooling_origin="1_Pooling/config.json",
        normalized=True,
        prompts={"query": "query: "},
        default_prompt="query",
    ),
)
RERANKS = msgspec.structs.replace(
    EMBEDS,
    tasks=(Task.RERANK,),
    encoding=EncodingFacts(most_tokens=512, scores="sigmoid", scores_origin="config.json has one label"),
)


def model_status(name="tiny", state=ModelState.READY, *, aliases=(), adapters=None, **fields):
    table = ModelTable(source="builtin:smollm2-135m", aliases=aliases, adapters=adapters or {})
    return ModelStatus(name=name, config=table, state=state, since=SINCE, created=int(SINCE), **fields)


def running_status(name="tiny", **fields):
    return model_status(name, **{"pid": 42, "ready": READY, "heartbeat": HEARTBEAT, "running": 1, "waiting": 2, **fields})


class FakeDisks(DiskDirectories):
    """The real directories; ``asked`` has what was to be removed from them."""

    def __init__(self):
        super().__init__()
        self.asked = []

    async def remove(self, path, model):
        self.asked.append((path, model))
        return await super().remove(path, model)


class FakeModels:
    """A registry whose statuses the test sets; ``asked`` has what it was told to do."""

    def __init__(self, *statuses):
        self.all = list(statuses)
        self.asked = []
        self.settling = asyncio.Event()  # somebody waits
        self.may_settle = asyncio.Event()
        self.may_settle.set()
        self.differs = None
        self.broken_adapters = {}

    def statuses(self):
        return list(self.all)

    def identify(self, name):
        for status in self.all:
            if name in (status.name, *status.config.aliases):
                return status.name
        raise ModelNotFoundError(f'no model is named "{name}"', param="model")

    def status(self, name):
        return next(status for status in self.all if status.name == self.identify(name))

    def load(self, name):
        self.asked.append(("load", name))

    def unload(self, name):
        self.asked.append(("unload", name))

    def drain(self, name):
        self.asked.append(("hold", name))

    def restart(self, name):
        self.asked.append(("restart", name))

    async def wait_model_settled(self, name):
        self.settling.set()
        await self.may_settle.wait()
        return self.differs

    async def load_adapter(self, name, adapter):
        await self._change_adapter("load", name, adapter)

    async def unload_adapter(self, name, adapter):
        await self._change_adapter("unload", name, adapter)

    async def _change_adapter(self, verb, name, adapter):
        if self.status(name).ready is None:
            raise ModelLoadingError(f"{name} is loading", retry_after=1.0)
        self.asked.append((verb, name, adapter))
        self.settling.set()
        await self.may_settle.wait()
        if adapter in self.broken_adapters:
            raise self.broken_adapters[adapter]

    async def evict_cache(self, name):
        status = self.status(name)
        if status.ready is None:
            raise ModelLoadingError(f"{name} is loading", retry_after=1.0)
        self.asked.append(("evict", name))
        return CacheEvicted(entries=3, bytes=300)


class FakeReloads:
    """Answers with what the test sets, and remembers what it was asked."""

    def __init__(self):
        self.outcome = Outcome(result=Result.UNCHANGED, sha256=SHA256)
        self.asked = []

    async def reload(self, trigger, *, if_match=None):
        self.asked.append(("reload", trigger.value, if_match))
        return self.outcome

    async def dry_run(self, *, if_match=None):
        self.asked.append(("look", if_match))
        return self.outcome

    async def compare(self, text):
        self.asked.append(("compare", text))
        return self.outcome


class FakeDaemon:
    """Everything the admin API asks for; tests change the attributes."""

    def __init__(self, *statuses):
        self.models = FakeModels(*statuses)
        self.requests = LiveRequests()
        self.holders = [ANONYMOUS]
        self.key_uses = KeyUses(lambda: self.holders)
        self.operations = Operations()
        self.reloads = FakeReloads()
        self.draining = False
        self.certificate = None
        self.config_error = None
        self.registry = None
        self.vllm_registry = None
        self.counters = CacheCounters()
        self.tokens = TokenCounters()
        self.first_tokens = HistogramCounts((0.1, 1.0), (0, 0, 0))
        self.ledger = Ledger(1000)
        self.memory = MemoryFacts(limit=1000, reserved={"tiny": 300})
        self.log_level = "info"
        self.disks = FakeDisks()

    def validate(self, text):
        if "source" not in text:
            raise ConfigError(["mlxd.toml:1: models: no model is configured"])
        return ["tiny"]

    def set_log_level(self, level):
        self.log_level = level

    @property
    def sources(self):
        return AdminSources(
            models=self.models,
            requests=self.requests,
            holdings=self.key_uses.current,
            operations=self.operations,
            reloads=self.reloads,
            config=lambda: RunningConfig(
                path="/etc/mlxd.toml",
                sha256=SHA256,
                loaded=SINCE,
                document=lambda: {
                    "path": "/etc/mlxd.toml",
                    "sha256": SHA256,
                    "config": {"admin": {"token": "<redacted>"}},
                    "provenance": {"admin.token": 3},
                },
                successful=self.config_error is None,
                last_error=self.config_error,
            ),
            validate=self.validate,
            daemon=lambda: DaemonFacts(
                pid=41,
                started=SINCE,
                draining=self.draining,
                listeners=(ListenerFacts(role="inference", address="127.0.0.1:8000", certificate=self.certificate),),
            ),
            memory=lambda: self.memory,
            cache_counters=lambda _: self.counters,
            token_counters=lambda _: self.tokens,
            first_token_counts=lambda _: self.first_tokens,
            metrics=lambda: self.registry,
            vllm_metrics=lambda: self.vllm_registry,
            set_log_level=self.set_log_level,
            disks=self.disks,
        )
