"""The vocabulary every part of mlxd shares: frozen values, no behaviour, no imports of ours but of their kind.

Structs are ``msgspec`` so that the same values travel on the wire (``mlxd.wire``) unchanged.
"""

from enum import StrEnum
from typing import Literal, Self

import msgspec

from mlxd.adapter_terms import AdapterSpec
from mlxd.cache_terms import CacheQuota, KeyCacheFigures, PinFigures, PinnedPrompt
from mlxd.disk_terms import DiskFigures, DiskSettings
from mlxd.media_terms import Media, MediaFigures


class FinishReason(StrEnum):
    """Why a sequence ended, in OpenAI's words."""

    STOP = "stop"  # an end-of-sequence token or a stop string
    LENGTH = "length"  # max_tokens, or the end of the context
    TOOL_CALLS = "tool_calls"  # as ``STOP``, of an answer that calls a tool


class CacheOutcome(StrEnum):
    """What the prefix cache gave a request."""

    HIT = "hit"  # everything of the prompt that can be reused was found
    PREFIX_HIT = "prefix_hit"  # a beginning was found
    MISS = "miss"


class ModelState(StrEnum):
    """The actual state of a configured model."""

    STOPPED = "stopped"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class LoadStage(StrEnum):
    """What a worker does before its model is ready, in this order."""

    FETCHING = "fetching"
    CONVERTING = "converting"
    LOADING = "loading"
    WARMING = "warming"


class RunnerKind(StrEnum):
    """How a model computes."""

    PAGED = "paged"  # a batch over one paged cache
    CONTIGUOUS = "contiguous"  # a batch with a cache of its own for each sequence
    SIMPLE = "simple"  # one request at a time
    ENCODER = "encoder"  # whole texts, batched by their lengths; it generates nothing


class Task(StrEnum):
    """What a model can be asked to do."""

    GENERATE = "generate"  # answers
    EMBED = "embed"  # vectors of texts
    RERANK = "rerank"  # scores of how well texts answer a query


class AttentionWay(StrEnum):
    """How the rows that decode attend over a paged cache."""

    ROWS = "rows"  # row by row, keys and values in place
    GATHER = "gather"  # all at once, over copies
    KERNEL = "kernel"  # all at once, keys and values in place, by a kernel of mlxd's


AttentionWish = Literal["auto", "rows", "gather", "kernel"]


class AttentionState(StrEnum):
    """What became of a way to attend when a model was loaded."""

    USED = "used"
    SLOWER = "slower"  # it is right, and nowhere clearly faster than rows
    REFUSED = "refused"  # it gives something else than it should, or does not run
    UNAVAILABLE = "unavailable"  # this device has no such way
    UNASKED = "unasked"  # the configuration names another


CompileWish = Literal["auto", "on", "off"]


class KeyValueType(StrEnum):
    """What the keys and values of a layer are stored as."""

    MODEL = "model"  # the type in which the model computes them
    INT8 = "int8"  # 8 bits an element


KeyValueWish = Literal["auto", "model", "int8"]


class StepCompilation(msgspec.Struct, frozen=True):
    """Whether decode steps are compiled functions, or built anew in Python each time, and why."""

    is_used: bool
    reason: str


class ToolShape(StrEnum):
    """How a model writes the calls of an answer."""

    NONE = "none"  # it calls no tools
    HERMES = "hermes"  # <tool_call>{"name": …, "arguments": {…}}</tool_call>: Hermes, Qwen 2.5 and 3
    JSON = "json"  # bare objects, or a list of them: Llama 3, Qwen2.5-Coder
    QWEN_XML = "qwen_xml"  # <function=NAME><parameter=KEY>…: Qwen3-Coder
    GLM = "glm"  # <tool_call>NAME<arg_key>…</arg_key><arg_value>…: GLM 4.5 and later
    PYTHONIC = "pythonic"  # [NAME(key=value)]: Llama 4, LFM2
    MISTRAL = "mistral"  # [TOOL_CALLS][{…}], or [TOOL_CALLS]NAME[ARGS]{…}
    DEEPSEEK = "deepseek"  # "tool▁calls▁begin" between fullwidth bars, or DSML: DeepSeek V3, R1, V3.1; V3.2
    KIMI = "kimi"  # <|tool_calls_section_begin|>…: Kimi K2
    GEMMA = "gemma"  # <start_function_call>…, <|tool_call>…: FunctionGemma, Gemma 4
    COHERE = "cohere"  # <|START_ACTION|>[…]<|END_ACTION|>: Command A and R7B
    MINIMAX = "minimax"  # <minimax:tool_call><invoke name="…">: MiniMax M2
    LONGCAT = "longcat"  # <longcat_tool_call>…</longcat_tool_call>
    HARMONY = "harmony"  # to=functions.NAME: gpt-oss


class ReasoningShape(StrEnum):
    """How a model marks what it thinks before it answers."""

    NONE = "none"
    THINK = "think"  # <think>…</think>: Qwen 3, DeepSeek R1, GLM, Kimi, MiniMax
    MISTRAL = "mistral"  # [THINK]…[/THINK]: Magistral
    COHERE = "cohere"  # <|START_THINKING|>…<|END_THINKING|>
    THOUGHT = "thought"  # <|begin_of_thought|>…<|end_of_thought|>
    GEMMA = "gemma"  # <|channel>thought…<channel|>: Gemma 4
    HARMONY = "harmony"  # the channel "analysis": gpt-oss


class Ability(StrEnum):
    """What only some runners can do. What a runner lacks is refused by name, before anything is computed."""

    CONSTRAINTS = "constraints"  # grammars, enforced tool calls, budgets of reasoning
    LOGPROBS = "logprobs"
    PROMPT_LOGPROBS = "prompt_logprobs"
    IMAGES = "images"
    VIDEOS = "videos"
    ADAPTERS = "adapters"


class SpeculationKind(StrEnum):
    """What guesses the next tokens of an answer, several of which one step then verifies."""

    AUTO = "auto"  # whatever there is: look-up, and a draft model where one is named
    LOOKUP = "lookup"  # what followed the newest tokens where they occurred before
    DRAFT = "draft"  # a smaller model
    OFF = "off"


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How the next token is drawn. Values are validated where they enter (config, HTTP)."""

    temperature: float = 1.0  # 0: greedy
    top_p: float = 1.0  # nucleus; 1: off
    top_k: int = 0  # 0: off
    min_p: float = 0.0  # of the most likely token's probability; 0: off
    repetition_penalty: float = 1.0  # multiplicative, over prompt and output; 1: off
    presence_penalty: float = 0.0  # additive, once per token of the output
    frequency_penalty: float = 0.0  # additive, per occurrence in the output
    logit_bias: dict[int, float] = {}  # token id -> added to its logit
    seed: int | None = None  # the same seed gives the same tokens, whoever shares the batch


class Stopping(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which tokens end an answer, beside the model's end tokens, and from when on."""

    min_tokens: int = 0  # before, nothing ends it
    ignore_end: bool = False  # the model's end tokens do not end it
    token_ids: list[int] = []  # each ends it too


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one request."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0  # of prompt_tokens, not computed because the prefix cache had them
    reasoning_tokens: int = 0  # of completion_tokens
    accepted_tokens: int = 0  # of completion_tokens, those that were guessed before
    rejected_tokens: int = 0  # guesses that were wrong: none of completion_tokens


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request's time went inside the worker, in seconds."""

    queue: float
    prefill: float
    decode: float


class MemoryFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker holds, in bytes: its parts, then MLX's own counters, then the system's account of the process."""

    weights: int = 0
    kv: int = 0  # keys and values: all that is allocated for them
    states: int = 0  # recurrent, of sequences that run
    snapshots: int = 0  # of recurrent state, for later requests
    media: int = 0  # embeddings of pictures and films
    draft: int = 0  # a draft model: its weights, keys and values
    adapters: int = 0  # that are loaded
    grammars: int = 0  # an estimate
    disk: int = 0  # copies of blocks that wait to be written
    mlx_active: int = 0
    mlx_cache: int = 0  # freed, and kept to use again
    mlx_peak: int = 0
    rss: int = 0
    footprint: int = 0  # what the process takes from others: what it shares with them, or maps from files, is not counted

    @property
    def transients(self) -> int:
        """Returns what MLX holds beside the parts: what steps compute with, and what it keeps to use again."""
        known = self.weights + self.kv + self.states + self.snapshots + self.media + self.draft + self.adapters
        return max(0, self.mlx_active + self.mlx_cache - known)

    @property
    def held(self) -> int:
        """Returns what the worker really holds; on a GPU with memory of its own that may be in MLX's counters alone."""
        return max(self.footprint or self.rss, self.mlx_active + self.mlx_cache)

    @property
    def parts(self) -> dict[str, int]:
        """Returns the bytes of each part by its name, the transients and all the rest included: together what is ``held``."""
        names = ("weights", "kv", "states", "snapshots", "media", "draft", "adapters", "grammars", "disk")
        return {name: getattr(self, name) for name in names} | {"transients": self.transients, "other": self.other}

    @property
    def kinds(self) -> dict[str, int]:
        """Returns every figure by its name, in bytes: the parts, and who else counts."""
        return self.parts | {name: getattr(self, name) for name in ("held", "footprint", "rss", "mlx_active", "mlx_cache", "mlx_peak")}

    @property
    def other(self) -> int:
        """Returns what none of the parts counts: the interpreter, libraries, tokenizers, what the allocator keeps."""
        return max(0, self.held - self.mlx_active - self.mlx_cache - self.grammars - self.disk)


class BlockFigures(msgspec.Struct, frozen=True, kw_only=True, tag="blocks"):
    """The blocks of a paged cache."""

    used: int  # held by running requests
    shared: int  # of these, held by more than one
    cached: int  # kept for later requests
    free: int  # that can still be taken without evicting anything
    bytes_saved: int  # that copies of the shared blocks would take
    snapshots: int = 0  # of recurrent state


class EntryFigures(msgspec.Struct, frozen=True, kw_only=True, tag="entries"):
    """The entries of a cache that keeps whole prompts."""

    count: int


class CacheFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Keys and values of a model: of running requests, and what a prefix cache, if there is one, keeps for later ones."""

    bytes_used: int = 0
    bytes_cached: int = 0
    limit_bytes: int = 0
    kept: BlockFigures | EntryFigures | None = None
    disk: DiskFigures | None = None  # None: none is wanted, or there is none for such a cache
    bytes_pinned: int = 0  # kept whatever happens, be it used or cached
    pins: tuple[PinFigures, ...] = ()
    keys: dict[str, KeyCacheFigures] = {}  # by the names of keys, of a paged cache
    media: MediaFigures | None = None  # None: the model sees nothing


class Restraint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker is held to while the machine is short of memory; as a rule, to nothing."""

    buffer_share: float = 1.0  # of the freed buffers that MLX may keep otherwise
    cache_share: float = 1.0  # of the cache's limit
    largest_prompt: int | None = None  # tokens that are not cached: a request with more waits until this is lifted
    patience: float = 0.0  # seconds for which it waits, at most, before it is refused


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What of a model's configuration may change while its worker runs, from the next request or step on."""

    max_queue: int = 256
    stream_interval: int = 1  # tokens per delta
    max_sequences: int = 32  # that run at once
    step_tokens: int | None = None  # token budget of a step; None: "auto", by ``target_itl``
    target_itl: float = 0.2  # seconds
    priority_ageing: float = 10.0  # seconds of waiting that one level of priority is worth
    cache_bytes: int | None = None  # for keys and values, of running and of past requests; None: a share of the available RAM
    cache_fraction: float | None = None  # that share; None: 20 %
    media_bytes: int | None = None  # of these, for embeddings of pictures and films; None: a share
    media_fraction: float = 0.1  # that share
    cache_entries: int = 64  # prompts kept by a cache of whole prompts
    speculation: SpeculationKind = SpeculationKind.AUTO
    draft_tokens: int = 15  # guesses of one sequence that a step verifies, at most
    disk: DiskSettings | None = None  # where blocks that leave memory are kept; None: nowhere
    wired_bytes: int = 0  # of memory that the device keeps resident, where it has such a thing; 0: left to the system
    restraint: Restraint = Restraint()
    pins: tuple[PinnedPrompt, ...] = ()  # prompts whose beginnings stay in the cache
    quotas: tuple[CacheQuota, ...] = ()  # what of the cache belongs to the holders of keys
    adapters: tuple[AdapterSpec, ...] = ()  # that requests may name
    adapter_bytes: int = 0  # that loaded adapters may take together, beside the cache


class ResolvedLimits(Limits, frozen=True, kw_only=True):
    """Limits as a worker has them: the cache has a size, whatever share was asked for."""

    cache_bytes: int

    def usable_cache(self, least: int = 0) -> int:
        """Returns the bytes of cache that may be used now: the limit, or a share of it under restraint, which is not below ``least``."""
        return max(int(self.cache_bytes * self.restraint.cache_share), min(self.cache_bytes, least))

    @property
    def usable_media(self) -> int:
        """Returns the bytes of embeddings that may be kept now: none under any restraint, for they can be computed again."""
        return self.cache_bytes - self.beside_media.cache_bytes if self.restraint.buffer_share >= 1 else 0

    @property
    def beside_media(self) -> Self:
        """Returns the limits of keys and values beside embeddings, of a model that sees: their part of the cache, half at most, is off."""
        part = int(self.cache_bytes * self.media_fraction) if self.media_bytes is None else self.media_bytes
        return msgspec.structs.replace(self, cache_bytes=self.cache_bytes - min(part, self.cache_bytes // 2), media_bytes=0)

    @classmethod
    def of(cls, limits: Limits, cache_bytes: int) -> Self:
        """Returns ``limits`` with a cache of so many bytes."""
        return cls(**(msgspec.structs.asdict(limits) | {"cache_bytes": cache_bytes}))


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that an earlier answer made; ``arguments`` is JSON text, as the client sent it."""

    id: str
    name: str
    arguments: str


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    name: str | None = None
    reasoning: str | None = None  # what the model thought before it answered
    tool_calls: list[ToolCall] = []
    tool_call_id: str | None = None  # whose result this is
    media: list[Media] = []  # what is to be seen in it, in order
