"""Of models: their desired and actual state, and what they hold."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from mlxd.admin.answers.adapters import Adapter
from mlxd.admin.answers.cache import KeyShare, Pin
from mlxd.admin.answers.document import Bytes, Count, Document, Seconds, Time
from mlxd.admin.answers.encoding import Encoding
from mlxd.types import (
    AttentionState,
    AttentionWay,
    AttentionWish,
    KeyValueType,
    KeyValueWish,
    LoadStage,
    ModelState,
    ReasoningShape,
    RunnerKind,
    SpeculationKind,
    Task,
    ToolShape,
)


class LoadProgress(Document, frozen=True, kw_only=True):
    """How far a load is."""

    stage: LoadStage
    done_bytes: Annotated[Bytes, Meta(description="0 where the stage cannot tell.")]
    total_bytes: Annotated[Bytes, Meta(description="0 where the stage cannot tell.")]
    fraction: Annotated[float | None, Meta(description="Of this stage, from 0 to 1.")]


class RequestCounts(Document, frozen=True, kw_only=True):
    """Requests of all workers of a model, those that drain included."""

    running: Count
    waiting: Count


class WorkerMemory(Document, frozen=True, kw_only=True):
    """What the worker held at its last heartbeat: the parts, from `weights_bytes` to `other_bytes`, then who else counts."""

    weights_bytes: Bytes
    kv_bytes: Annotated[Bytes, Meta(description="Allocated for keys and values, of running requests and of the prefix cache.")]
    states_bytes: Annotated[Bytes, Meta(description="Recurrent states of running requests.")]
    snapshots_bytes: Annotated[Bytes, Meta(description="Snapshots of recurrent state, for later requests.")]
    media_bytes: Annotated[Bytes, Meta(description="Embeddings of pictures and films.")]
    draft_bytes: Annotated[Bytes, Meta(description="A draft model: its weights, keys and values.")]
    adapters_bytes: Annotated[Bytes, Meta(description="Adapters that are loaded.")]
    grammars_bytes: Annotated[Bytes, Meta(description="Grammars, and the vocabulary they are compiled for: an estimate.")]
    disk_bytes: Annotated[Bytes, Meta(description="Copies of blocks that wait to be written to disk.")]
    transients_bytes: Annotated[Bytes, Meta(description="What MLX holds beside these: activations, logits, freed buffers.")]
    other_bytes: Annotated[Bytes, Meta(description="The rest of the process: interpreter, libraries, tokenizer.")]
    mlx_active_bytes: Annotated[Bytes, Meta(description="MLX's own counter of what is in use.")]
    mlx_cache_bytes: Annotated[Bytes, Meta(description="What MLX keeps to use again.")]
    mlx_peak_bytes: Annotated[Bytes, Meta(description="The most that was in use.")]
    held_bytes: Annotated[Bytes, Meta(description="All of it together: `footprint_bytes`, or what MLX counts where that is more.")]
    rss_bytes: Annotated[Bytes, Meta(description="The process's resident memory, shared libraries and mapped files included.")]
    footprint_bytes: Annotated[
        Bytes, Meta(description="What the process takes from others: its own memory, compressed and swapped out as well.")
    ]


class Blocks(Document, frozen=True, kw_only=True):
    """Blocks of a paged cache."""

    used: Annotated[Count, Meta(description="Held by running requests.")]
    shared: Annotated[Count, Meta(description="Of these, held by more than one.")]
    cached: Annotated[Count, Meta(description="Kept for later requests.")]
    free: Annotated[Count, Meta(description="Can be taken without dropping anything.")]


class Lookups(Document, frozen=True, kw_only=True):
    """Requests that asked the prefix cache, since the daemon started."""

    hit: Annotated[Count, Meta(description="Everything that can be reused was found.")]
    prefix_hit: Annotated[Count, Meta(description="A beginning was found.")]
    miss: Count


class SeenMedia(Document, frozen=True, kw_only=True):
    """What a model has looked at since its worker began, and the embeddings that are kept of it."""

    images: Annotated[Count, Meta(description="Pictures of requests that have begun.")]
    videos: Annotated[Count, Meta(description="Films of these.")]
    tokens: Annotated[Count, Meta(description="Of their prompts, those that stand for pictures and films.")]
    hits: Annotated[Count, Meta(description="Not in the prefix cache, but encoded already, or just then.")]
    misses: Annotated[Count, Meta(description="Encoded for them.")]
    encoded: Count
    failed: Annotated[Count, Meta(description="To be encoded.")]
    encode_seconds: Annotated[Seconds, Meta(description="Seconds that it took to encode them.")]
    evicted: Annotated[Count, Meta(description="Pictures and films whose embeddings were let go.")]
    kept: Annotated[Count, Meta(description="Pictures and films whose embeddings there are.")]
    bytes: Annotated[Bytes, Meta(description="What these take.")]
    limit_bytes: Annotated[Bytes, Meta(description="What those may take that no running request needs.")]


class Cache(Document, frozen=True, kw_only=True):
    """What the prefix cache holds and has done."""

    kind: Annotated[Literal["auto", "paged", "entries", "none"], Meta(description="As configured.")]
    blocks: Annotated[Blocks | None, Meta(description="Of a paged cache.")]
    entries: Annotated[Count | None, Meta(description="Of a cache of whole prompts.")]
    snapshots: Annotated[Count | None, Meta(description="Kept states of recurrent layers, of a paged cache.")]
    used_bytes: Annotated[Bytes | None, Meta(description="Held by running requests.")]
    cached_bytes: Annotated[Bytes | None, Meta(description="Kept for later requests.")]
    saved_bytes: Annotated[Bytes | None, Meta(description="What copies of the shared blocks of a paged cache would take.")]
    limit_bytes: Bytes | None
    pinned_bytes: Annotated[Bytes | None, Meta(description="Of these, what stays whatever happens: pins.")]
    pins: Annotated[Sequence[Pin], Meta(description="In the file's order.")]
    keys: Annotated[
        Mapping[str, KeyShare],
        Meta(description="By the names of keys, those whose requests have anything of a paged cache, or a quota in it."),
    ]
    media: Annotated[SeenMedia | None, Meta(description="Null: the model sees nothing.")]
    query_tokens: Annotated[Count, Meta(description="Prompt tokens that were looked up, since the daemon started.")]
    hit_tokens: Annotated[Count, Meta(description="Of these, found.")]
    lookups: Lookups


class Tokens(Document, frozen=True, kw_only=True):
    """What the model computed since the daemon started, counted step by step."""

    prompt: Annotated[Count, Meta(description="Of prompts; those found in the prefix cache are not computed.")]
    generated: Count
    drafted: Annotated[Count, Meta(description="Guesses of next tokens that were verified.")]
    accepted: Annotated[Count, Meta(description="Of the generated ones, those that had been guessed.")]


class Histogram(Document, frozen=True, kw_only=True):
    """How often a value fell between two bounds, since the daemon started."""

    bounds: Annotated[Sequence[float], Meta(description="Upper bounds, ascending; the first bucket begins at 0.")]
    counts: Annotated[Sequence[Count], Meta(description="Of each bucket for itself; one more than bounds: the last has none.")]


class DiskLimits(Document, frozen=True, kw_only=True):
    """What is kept on disk of a cache, and where."""

    path: str
    limit_bytes: Annotated[Bytes, Meta(description="That the directory takes, of all models.")]
    write_budget_bytes: Annotated[Bytes | None, Meta(description="That are written to it within an hour, by all models.")]


class Restraint(Document, frozen=True, kw_only=True):
    """What a worker is held to while the machine is short of memory."""

    buffer_share: Annotated[float, Meta(description="Of the freed buffers that MLX may keep otherwise.")]
    cache_share: Annotated[float, Meta(description="Of the cache's limit.")]
    largest_prompt: Annotated[Count | None, Meta(description="Tokens that are not cached; a request with more waits. Null: any.")]
    patience: Annotated[Seconds, Meta(description="Seconds for which it waits before it is refused.")]


class WorkerLimits(Document, frozen=True, kw_only=True):
    """The limits a worker has now; see the keys of the same names in the configuration."""

    max_queue: Count
    stream_interval: Annotated[Count, Meta(description="Tokens.")]
    max_sequences: Count
    step_tokens: Annotated[Count | None, Meta(description='Null: "auto".')]
    target_itl: Annotated[Seconds, Meta(description="Seconds.")]
    priority_ageing: Annotated[Seconds, Meta(description="Seconds.")]
    cache_bytes: Bytes
    cache_fraction: Annotated[float | None, Meta(description="The share of the available RAM that was asked for, if it was a share.")]
    media_bytes: Annotated[Bytes | None, Meta(description="Of these, for embeddings of pictures and films. Null: a share.")]
    media_fraction: Annotated[float, Meta(description="That share.")]
    adapter_bytes: Annotated[Bytes, Meta(description="That loaded adapters may take together, beside the cache.")]
    cache_entries: Count
    speculation: Annotated[SpeculationKind, Meta(description="What is asked for.")]
    draft_tokens: Annotated[Count, Meta(description="Guesses of one answer that a step verifies, at most.")]
    disk: Annotated[DiskLimits | None, Meta(description="Null: nothing is kept on disk.")]
    wired_bytes: Annotated[Bytes, Meta(description="Its part of `memory.wired_limit`.")]
    restraint: Restraint


class Speculation(Document, frozen=True, kw_only=True):
    """What can guess an answer's next tokens."""

    kinds: Annotated[Sequence[SpeculationKind], Meta(description="Empty: nothing can.")]
    reason: Annotated[str, Meta(description="Why.")]


class Compilation(Document, frozen=True, kw_only=True):
    """Whether decode steps are compiled as a whole."""

    used: bool
    reason: Annotated[str, Meta(description="Why they are, or are not.")]


class WayOfAttention(Document, frozen=True, kw_only=True):
    """One way for the rows of a batch to attend, and what became of it when the model was loaded."""

    way: AttentionWay
    state: Annotated[
        AttentionState,
        Meta(
            description="Used in some steps; right, but nowhere clearly faster; wrong here, or not to be run; not to be had here; or not "
            "asked for."
        ),
    ]
    reason: Annotated[str, Meta(description="Where and why it is used, or why not.")]


class Attention(Document, frozen=True, kw_only=True):
    """How the rows of a batch attend over a paged cache."""

    asked: Annotated[AttentionWish, Meta(description="As `batching.attention` says.")]
    ways: Sequence[WayOfAttention]


class LayerStorage(Document, frozen=True, kw_only=True):
    """Layers that are alike, and what the keys and values of each are stored as."""

    layers: Count
    kv_heads: Count
    key_dim: Annotated[Count, Meta(description="Elements of a head's key.")]
    value_dim: Annotated[Count, Meta(description="Elements of a head's value.")]
    window: Annotated[Count | None, Meta(description="How many tokens they see; null: all.")]
    type: Annotated[KeyValueType, Meta(description="`model`: the type in which the model computes them.")]
    group: Annotated[Count | None, Meta(description="Neighbouring elements that share a scale and a bias; null: none do.")]
    reason: Annotated[str, Meta(description="Why this type.")]


class KeyValueQuality(Document, frozen=True, kw_only=True):
    """How well the model predicts a text with quantized keys and values, beside itself without; measured when it was loaded."""

    tokens: Annotated[Count, Meta(description="Of the text, that were predicted.")]
    perplexity: float
    plain_perplexity: float
    agreement: Annotated[float, Meta(description="Share of these tokens at which both think the same one the most likely.")]


class KeysAndValues(Document, frozen=True, kw_only=True):
    """What the keys and values of a paged cache are stored as."""

    asked: Annotated[KeyValueWish, Meta(description="As `cache.dtype` says.")]
    layers: Sequence[LayerStorage]
    token_bytes: Annotated[Bytes, Meta(description="Of one token, in all layers.")]
    plain_token_bytes: Annotated[Bytes, Meta(description="If all were stored as they are computed.")]
    quality: Annotated[KeyValueQuality | None, Meta(description="Null where nothing is quantized.")]


class Runner(Document, frozen=True, kw_only=True):
    """How the worker computes."""

    name: Annotated[RunnerKind, Meta(description="Over one paged cache, a cache for each sequence, one request at a time, or whole texts.")]
    reason: Annotated[str, Meta(description="Why this one.")]
    fallback: Annotated[bool, Meta(description="It is not the one that was asked for.")]
    compiled: Annotated[Compilation | None, Meta(description="Of decode steps; null where they are not over a paged cache.")]


class EndToken(Document, frozen=True, kw_only=True):
    """A token that ends an answer."""

    id: Count
    text: Annotated[str, Meta(description="As the vocabulary spells it; empty where the tokenizer does not know the id.")]
    origins: Annotated[Sequence[str], Meta(description="Everything that names it.")]


class DraftModel(Document, frozen=True, kw_only=True):
    """The model that drafts for another one. Its keys and values are in the other one's cache, its weights in the same process."""

    source: str
    weight_bytes: Bytes
    dtype: str
    context_length: Annotated[Count, Meta(description="In tokens; beyond it nothing is drafted.")]


class Facts(Document, frozen=True, kw_only=True):
    """Where the worker read what it knows of its model. Origins are for people: a file, and the key in it."""

    context_origin: str
    vocabulary_origin: str
    end_tokens: Sequence[EndToken]
    chat_template_origin: Annotated[str | None, Meta(description="Null: the model has none, and only completes text.")]
    tools: Annotated[ToolShape, Meta(description="How it writes calls of tools.")]
    tools_origin: str
    reasoning: Annotated[ReasoningShape, Meta(description="How it marks what it thinks before it answers.")]
    reasoning_origin: str
    weight_files: Annotated[Sequence[str], Meta(description="Those that are read, in the model's directory.")]
    weights_origin: Annotated[str, Meta(description="How they were chosen.")]
    library: Annotated[str, Meta(description="Whose class the model is: `mlx-lm`, or, of a model that sees pictures, `mlx-vlm`.")]
    library_origin: str
    sight: Annotated[str, Meta(description="What became of pictures and films; empty for a model of text.")]
    warnings: Annotated[
        Sequence[str], Meta(description="What is doubtful about the model's files, and which settings of its table do nothing with them.")
    ]
    draft: Annotated[DraftModel | None, Meta(description="Null: no draft model is configured.")]


class Model(Document, frozen=True, kw_only=True):
    """Desired and actual state of one model."""

    id: str
    aliases: Sequence[str]
    source: str
    tasks: Annotated[
        Sequence[Task] | None, Meta(description="What it can be asked to do; null: only its files say, and it was not loaded yet.")
    ]
    desired_state: Annotated[
        str,
        Meta(
            extra_json_schema={"enum": [ModelState.READY.value, ModelState.STOPPED.value]},
            description="What the configuration and operators ask for.",
        ),
    ]
    state: ModelState
    since: Annotated[Time, Meta(description="When the state last changed.")]
    pid: Annotated[int | None, Meta(description="The worker's.")]
    replacing: Annotated[bool, Meta(description="A worker loads that is to take over.")]
    leaving_pids: Annotated[Sequence[int], Meta(description="Workers that end, once their requests are done.")]
    differs: Annotated[str | None, Meta(description="Why what runs is not what the configuration says.")]
    progress: Annotated[LoadProgress | None, Meta(description="While it loads.")]
    restarts: Annotated[Count, Meta(description="Since the daemon started.")]
    restart_in_seconds: Annotated[Seconds | None, Meta(description="Until the next attempt, after a crash.")]
    last_error: str | None
    requests: RequestCounts
    memory: Annotated[WorkerMemory | None, Meta(description="Null while no worker is ready.")]
    reserved_bytes: Annotated[Bytes, Meta(description="Of `memory.limit`.")]
    tokens: Tokens
    time_to_first_token: Annotated[Histogram, Meta(description="Seconds from a request's arrival, of requests that are over.")]
    cache: Cache
    limits: Annotated[WorkerLimits | None, Meta(description="Those its worker has, not those it was asked to take.")]
    speculation: Annotated[Speculation | None, Meta(description="Null while no worker is ready.")]
    attention: Annotated[Attention | None, Meta(description="Null while no worker is ready, and where its cache is not paged.")]
    keys_and_values: Annotated[KeysAndValues | None, Meta(description="Null while no worker is ready, and where its cache is not paged.")]
    adapters: Annotated[Sequence[Adapter], Meta(description="Those that are configured, in the file's order.")]
    encoding: Annotated[Encoding | None, Meta(description="Null while no worker is ready, and of models that generate.")]
    runner: Runner | None
    device: Annotated[str | None, Meta(description="`gpu` or `cpu`.")]
    dtype: str | None
    context_length: Annotated[Count | None, Meta(description="Tokens.")]
    vocabulary_size: Count | None
    facts: Facts | None
    load_seconds: Seconds | None
    versions: Annotated[Mapping[str, str] | None, Meta(description="Of MLX and mlx-lm, in the worker.")]


class ModelList(Document, frozen=True, kw_only=True):
    """All models of the configuration, as they are now."""

    models: Annotated[Sequence[Model], Meta(description="In the file's order; those that are being removed follow.")]
