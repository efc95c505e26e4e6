"""Messages between the daemon and a worker, declared once.

Daemon to worker: ``Load`` (first, once), ``Proceed``, the jobs of ``wire.jobs``, ``Abort``, ``Tokenize``, ``Detokenize``,
``Reconfigure``, ``EvictCache``, ``LoadAdapter``, ``UnloadAdapter``, ``Stop``.
Worker to daemon: ``Hello`` (first), ``Progress`` while loading, ``NeedsMemory`` (once, then it waits for ``Proceed``), ``Ready`` or
``LoadFailed``, then ``Events`` (one frame per engine step, for all rows), ``Reconfigured``, ``CacheEvicted``,
``Heartbeat`` and ``LogRecord`` at any time.

Every job is answered by exactly one of ``Finished`` or ``Failed``, unless it is aborted: an
aborted request is answered by nothing more. ``Started`` comes at most once, before its first ``Delta``; ``Echo``, where it is asked for,
between them.

Every ``Tokenize`` and ``Detokenize`` is answered by exactly one of ``Tokenized``, ``Detokenized`` or ``Unreadable``, in any order; every
``LoadAdapter`` and ``UnloadAdapter`` by one of ``AdapterChanged`` and ``AdapterRefused``, likewise.
"""

from typing import Any, Literal

import msgspec

from mlxd.adapter_terms import AdapterFigures
from mlxd.types import (
    Ability,
    AttentionWish,
    CacheFigures,
    CompileWish,
    KeyValueWish,
    Limits,
    LoadStage,
    MemoryFigures,
    ReasoningShape,
    ResolvedLimits,
    RunnerKind,
    SpeculationKind,
    StepCompilation,
    Task,
    ToolShape,
)
from mlxd.wire.attention_facts import AttentionFacts
from mlxd.wire.encoding_facts import EncodingFacts
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.events import RequestEvent
from mlxd.wire.jobs import Job
from mlxd.wire.key_value_facts import KeyValueFacts
from mlxd.wire.model_facts import ModelFacts
from mlxd.wire.prompt_bounds import PromptBounds
from mlxd.wire.prompts import Prompt


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """A message, tagged by its class name."""


# ---- daemon to worker ----


class Load(_Message, frozen=True, kw_only=True):
    """What to load, and how to run it. ``None`` for a size means the worker decides (``auto``)."""

    model: str  # the configured id, for logs
    source: str  # "builtin:NAME", "org/name[@revision]" or a path
    dtype: Literal["auto", "float32", "bfloat16", "float16"]
    context_length: int | None  # the one that is wished for; None: the model's own
    mode: Literal["simple", "continuous"]
    cache_kind: Literal["paged", "entries", "none"]
    block_size: int  # tokens, of a paged cache
    compile: CompileWish = "auto"  # decode steps over a paged cache
    limits: Limits
    heartbeat_interval: float  # seconds
    tools: ToolShape | None = None  # how it writes calls; None: as its files show
    reasoning: ReasoningShape | None = None  # how it marks what it thinks; likewise
    attention: AttentionWish = "auto"  # how rows attend that decode, over a paged cache
    draft: str | None = None  # the source of a smaller model that drafts for it
    kv_wish: KeyValueWish = "auto"  # what keys and values of a paged cache are stored as
    task: Task | None = None  # what it is to do; None: what its files show


class Proceed(_Message, frozen=True, kw_only=True):
    """The memory that the worker asked for is reserved, and it may load. ``cache_bytes`` is the limit of its cache, where it is another
    than it asked for.
    """

    cache_bytes: int | None = None


class Abort(_Message, frozen=True, kw_only=True):
    """The client is gone or the deadline passed: the worker frees everything at the next step. Unknown ids are ignored."""

    id: str


class Tokenize(_Message, frozen=True, kw_only=True):
    """The tokens of a prompt are to be told, and nothing to be generated. ``id`` is unique among the questions of this kind."""

    id: str
    prompt: Prompt
    with_pieces: bool = False  # also the text of each token


class Detokenize(_Message, frozen=True, kw_only=True):
    """The text of tokens is to be told, with the spelling of control tokens."""

    id: str
    token_ids: list[int]


class Reconfigure(_Message, frozen=True, kw_only=True):
    """Other limits, from the next request or step on. They are answered by ``Reconfigured``; of several, the last one counts."""

    limits: Limits


class EvictCache(_Message, frozen=True, kw_only=True):
    """What is kept for later requests only is to be dropped. It is answered by ``CacheEvicted``."""


class LoadAdapter(_Message, frozen=True, kw_only=True):
    """An adapter is to be loaded before anybody asks for it. ``id`` is unique among the questions of this kind."""

    id: str
    name: str


class UnloadAdapter(_Message, frozen=True, kw_only=True):
    """An adapter is to give back its memory, once no request has it any more; the next one that names it loads it again."""

    id: str
    name: str


class Stop(_Message, frozen=True, kw_only=True):
    """The process is to end; requests that still run are forgotten."""


FromDaemon = Load | Proceed | Job | Abort | Tokenize | Detokenize | Reconfigure | EvictCache | LoadAdapter | UnloadAdapter | Stop


# ---- worker to daemon ----


class Hello(_Message, frozen=True, kw_only=True):
    """A worker's first frame: it runs, and nothing is loaded."""

    pid: int
    version: str  # of mlxd: daemon and worker must be the same


class Progress(_Message, frozen=True, kw_only=True):
    """Loading goes on. ``done`` of ``total`` in bytes, or both 0 where a stage cannot tell."""

    stage: LoadStage
    done: int = 0
    total: int = 0


class NeedsMemory(_Message, frozen=True, kw_only=True):
    """What loading will take, in bytes: known once the model is on disk, and asked for before anything of it is in memory."""

    weights: int
    cache: int  # the limit of its cache
    transients: int  # what computing takes beside: an estimate
    disk: int = 0  # blocks on their way to disk, at most
    adapters: int = 0  # that are loaded at once, at most
    process: int = 0  # what the process takes already, without anything of the model
    device: int | None = None  # what the device holds without loss of speed, whoever wants it, where MLX knows that

    @property
    def total(self) -> int:
        """Returns the sum of all of it."""
        return self.beside_cache + self.cache

    @property
    def beside_cache(self) -> int:
        """Returns what it takes whatever becomes of its cache."""
        return self.weights + self.transients + self.disk + self.adapters + self.process


class SpeculationFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What can guess an answer's next tokens here, and why it can, or why nothing can."""

    kinds: list[SpeculationKind] = []
    reason: str = ""


class Ready(_Message, frozen=True, kw_only=True):
    """The model is loaded and has generated a token."""

    runner: RunnerKind
    runner_reason: str  # why this one
    is_fallback: bool = False  # another runner was asked for, and is not right for this model
    limits: ResolvedLimits  # as they are now
    device: str  # "cpu" | "gpu"
    dtype: str
    context_length: int
    bounds: PromptBounds | None = None  # of its prompts, where they are known
    vocab_size: int
    weight_bytes: int
    load_seconds: float
    versions: dict[str, str]  # mlx, mlx_lm
    abilities: list[Ability] = []  # of its runner
    compilation: StepCompilation | None = None  # None: of another runner than the paged one nothing is compiled as a whole
    facts: ModelFacts = ModelFacts()
    speculation: SpeculationFacts = SpeculationFacts()
    attention: AttentionFacts | None = None  # None: its cache is not paged
    keys_and_values: KeyValueFacts | None = None  # likewise
    tasks: tuple[Task, ...] = (Task.GENERATE,)
    encoding: EncodingFacts | None = None  # None: it encodes nothing


class Reconfigured(_Message, frozen=True, kw_only=True):
    """The limits as they are now, in answer to ``Reconfigure``."""

    limits: ResolvedLimits


class CacheEvicted(_Message, frozen=True, kw_only=True):
    """What was dropped. ``entries`` are blocks of a paged cache, or whole prompts."""

    entries: int
    bytes: int


class AdapterChanged(_Message, frozen=True, kw_only=True):
    """What became of an adapter, in answer to ``LoadAdapter`` and ``UnloadAdapter``."""

    id: str
    figures: AdapterFigures


class AdapterRefused(_Message, frozen=True, kw_only=True):
    """An adapter that cannot be loaded, or is not known; the code says which."""

    id: str
    error: ErrorInfo


class Tokenized(_Message, frozen=True, kw_only=True):
    """The tokens of a prompt, in answer to ``Tokenize``. A prompt may be longer than the context here."""

    id: str
    tokens: list[int]
    pieces: list[str] = []  # the text of each, where it is asked for; U+FFFD stands for bytes that are no character by themselves


class Detokenized(_Message, frozen=True, kw_only=True):
    """The text of tokens, in answer to ``Detokenize``."""

    id: str
    text: str


class Unreadable(_Message, frozen=True, kw_only=True):
    """A prompt that cannot be tokenized, or tokens that are none of the model's; the code says which."""

    id: str
    error: ErrorInfo


class LoadFailed(_Message, frozen=True, kw_only=True):
    """The model cannot be loaded; the worker exits after this."""

    error: ErrorInfo


class StepStats(msgspec.Struct, frozen=True, kw_only=True):
    """One engine step, in numbers."""

    seconds: float
    tokens: int  # computed in this step, prompt and decode
    rows: int  # sequences that took part
    texts: int = 0  # of these, encoded as wholes
    prompt_tokens: int = 0  # of ``tokens``, those of prompts
    generated_tokens: int = 0  # sampled in this step
    drafted_tokens: int = 0  # of ``tokens``, guesses of the next ones
    accepted_tokens: int = 0  # of ``generated_tokens``, those that were guessed
    not_finite: int = 0  # sequences that ended because their logits were NaN or infinite
    inter_token: float | None = None  # seconds since the previous token, of the stream that waited longest
    preemptions: int = 0  # sequences that gave their blocks back to make room
    evicted_blocks: int = 0  # cached blocks taken back to make room


class Events(_Message, frozen=True, kw_only=True):
    """What one step did to all requests, in order. ``step`` is None for events between steps."""

    events: list[RequestEvent]
    step: StepStats | None = None


class Heartbeat(_Message, frozen=True, kw_only=True):
    """The worker's sign of life, sent every ``heartbeat_interval`` by the I/O thread, whatever the engine thread does."""

    running: int
    waiting: int
    steps: int  # since start
    busy_seconds: float  # how long the engine has been inside the current step; 0 when idle
    planned_seconds: float = 0.0  # how long that step was expected to take; 0 where nobody knows
    memory: MemoryFigures
    cache: CacheFigures = CacheFigures()
    adapters: tuple[AdapterFigures, ...] = ()  # all that are configured


class LogRecord(_Message, frozen=True, kw_only=True):
    """A structured log line of the worker, to come out in the daemon's stream."""

    level: Literal["debug", "info", "warning", "error"]
    event: str
    fields: dict[str, Any] = {}


TokenAnswer = Tokenized | Detokenized | Unreadable
AdapterAnswer = AdapterChanged | AdapterRefused
FromWorker = (
    Hello
    | Progress
    | NeedsMemory
    | Ready
    | Reconfigured
    | CacheEvicted
    | AdapterAnswer
    | LoadFailed
    | Events
    | TokenAnswer
    | Heartbeat
    | LogRecord
)
