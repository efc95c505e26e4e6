"""The tables of one model, each of which ``[defaults]`` may hold for all models."""

from typing import Annotated, Literal

from pydantic import Strict

from mlxd.config.fields import Reload, Table, setting, table, tables
from mlxd.config.pin_table import PinTable
from mlxd.config.source import Source
from mlxd.config.units import Duration, MemoryShare, Quota, Share, Size
from mlxd.config.values import (
    LEAST_REPETITION_PENALTY,
    MOST,
    MOST_TOKENS,
    Idle,
    ReasoningShapeName,
    StepTokens,
    ToolShapeName,
)
from mlxd.types import AttentionWish, KeyValueWish


class BatchingTable(Table):
    """How requests to one model share the device."""

    mode: Literal["simple", "continuous"] = setting(
        "simple", '"simple": one request at a time. "continuous": many at once.', reload=Reload.MODEL
    )
    max_queue: int = setting(256, "Requests that may wait; beyond it, 429.", reload=Reload.LIVE, ge=0, le=MOST)
    stream_interval: int = setting(
        1, "Tokens per delivered delta; the first token is delivered at once.", reload=Reload.LIVE, ge=1, le=MOST
    )
    max_sequences: int = setting(32, "Sequences of a continuous batch.", reload=Reload.LIVE, ge=1, le=MOST)
    step_tokens: StepTokens = setting(
        "auto",
        'Tokens that one step of a continuous batch computes, prompts and streams together; "auto": as many as target_itl allows. Either '
        "way the prompts of one step take no longer than about a second.",
        reload=Reload.LIVE,
    )
    target_itl: Duration = setting(
        0.2,
        "What other people's prompts may add to the time between two tokens of a running stream. Where decoding alone takes longer, "
        "prompts add as much as that: half of every step is theirs.",
        reload=Reload.LIVE,
        gt=0,
    )
    compile: Literal["auto", "on", "off"] = setting(
        "auto",
        "Whether the steps of a paged continuous batch that compute nothing of prompts are compiled as a whole, which saves Python's time. "
        '"auto": where it is right and faster on this device, which is found out when the model is loaded; never on a CPU. "on": wherever '
        "it is right.",
        reload=Reload.MODEL,
    )
    attention: AttentionWish = setting(
        "auto",
        'How the rows of a batch attend over a paged cache: "rows" one by one; "gather" all at once, over copies; "kernel" all at once, in '
        'place, on a GPU; "auto": for so many rows and so long contexts, by whichever is the fastest on this device. Each is proved when '
        "the model loads; one that fails is not used.",
        reload=Reload.MODEL,
    )
    priority_ageing: Duration = setting(
        10.0, "A waiting request of one level lower priority goes first once it has waited so much longer.", reload=Reload.LIVE, gt=0
    )


class DiskTable(Table):
    """Blocks of a paged cache that leave memory, kept on disk: found again after they were evicted, and after a restart."""

    path: str = setting(
        "",
        "A directory of its own, on a local disk; it is made where it is not there, its parent is not. Models, and daemons, that name the "
        "same one share it: what one wrote another with the same weights finds. It holds what prompts say, in a form that can be "
        "read: only its owner may. A relative path starts from this file's directory. Empty: nothing is kept on disk.",
        reload=Reload.LIVE,
    )
    limit: Size = setting(
        16 * 2**30,
        "The most that the directory takes at any moment, of all models and daemons that name it, index included; what was of no use for "
        "longest goes first. Models that name the same directory say the same.",
        reload=Reload.LIVE,
        ge=16 * 2**20,
    )
    write_budget: Size = setting(
        16 * 2**30,
        "The most that is written to the directory within any hour, by all models and daemons that name it: disks wear out. What is "
        "beyond is not kept. Models that name the same directory say the same.",
        reload=Reload.LIVE,
        ge=16 * 2**20,
    )


class CacheTable(Table):
    """The prefix cache of one model."""

    kind: Literal["auto", "paged", "entries", "none"] = setting(
        "auto",
        '"paged": blocks shared by all prompts that begin alike. "entries": whole prompts, least recently used out first. "none": off. '
        '"auto": paged for continuous batching, entries for simple.',
        reload=Reload.MODEL,
    )
    memory: Share = setting(
        MemoryShare(),
        'For keys and values, of running and of past requests: "auto" (a share of 20 % of available RAM, the same for each model '
        'that says so, smaller and larger as others come and go), a share such as "10%", '
        'or a size such as "2GiB".',
        reload=Reload.LIVE,
    )
    media: Quota = setting(
        MemoryShare(fraction=0.1),
        "For what pictures and films have become that a model has looked at, so that one shown again is not encoded again: a share of "
        'memory such as "10%", or a size such as "200MiB", half of it at most. Only models that see take it, of kind = "paged". What '
        "running requests need is kept beyond it, and while the machine is short of memory nothing else is.",
        reload=Reload.LIVE,
    )
    max_entries: int = setting(64, 'Most entries kept by kind = "entries".', reload=Reload.LIVE, ge=1, le=MOST)
    block_size: int = setting(
        16, 'Tokens per block of kind = "paged": what two prompts share, they share in whole blocks.', reload=Reload.MODEL, ge=1, le=1024
    )
    dtype: KeyValueWish = setting(
        "auto",
        'What keys and values of kind = "paged" are stored as. "model": the type in which the model computes them. "int8": 8 bits an '
        "element, with a scale and a bias for 64 of them: about a quarter of what float32 takes, half of half-precision. That is proved "
        "when the model loads, beside itself without: one whose perplexity on a text changes by more than 1 %, or none of whose layers "
        'can be stored so, is refused. That of [defaults] is passed over by models without a paged cache. "auto": as "model".',
        reload=Reload.MODEL,
    )
    disk: DiskTable = table(DiskTable, 'What is kept on disk of kind = "paged".')
    pin: Annotated[tuple[PinTable, ...], Strict(strict=False)] = tables('Beginnings of prompts that stay in a cache of kind = "paged".')


class SpeculationTable(Table):
    """Guesses of an answer's next tokens, several of which one step verifies: of a paged cache. Text is the same with and without."""

    kind: Literal["auto", "lookup", "draft", "off"] = setting(
        "auto",
        'What guesses: "lookup": what followed the newest tokens where they occurred before, in the prompt, the answer, or of late in '
        'those of others with the same cache salt. "draft": the model that draft names. "auto": both, where there is a draft. "off": '
        "nothing. How many guesses a step verifies follows what was right and what they take: none where they do not pay.",
        reload=Reload.LIVE,
    )
    draft: Source | None = setting(
        None,
        "A smaller model with the same vocabulary that guesses; a source as that of a model. It is loaded whatever kind says. That of "
        "[defaults] is passed over by models without a paged cache, and by the one that it is itself. Unset: none.",
        reload=Reload.MODEL,
        example="org/small-model",
    )
    max_tokens: int = setting(15, "Guesses of one answer that a step verifies, at most.", reload=Reload.LIVE, ge=1, le=64)


class LifecycleTable(Table):
    """When a model is loaded and unloaded."""

    load: Literal["eager", "lazy"] = setting(
        "eager", '"eager": at start, or when it is added. "lazy": at the first request, which waits for it.', reload=Reload.LIVE
    )
    idle_unload: Idle = setting(
        None, 'Unload after this long without a request, or "never". The next request loads it again.', reload=Reload.LIVE
    )
    residence: Duration = setting(
        15.0,
        "Once loaded, it stays so long before it gives way to another model, however requests for the two alternate. 0s: not for any time.",
        reload=Reload.LIVE,
        ge=0,
    )
    turn: Idle = setting(
        60.0,
        "In use, it stays so long after it was loaded while requests wait for a model that needs its place; then it takes no new ones, "
        'finishes those that run, and gives way. "never": the other waits until it is idle.',
        reload=Reload.LIVE,
    )
    pin: bool = setting(False, "Never unload it to make room for another model.", reload=Reload.LIVE)


class WorkerTable(Table):
    """How one model's process is watched and restarted."""

    heartbeat_interval: Duration = setting(1.0, "How often the worker reports that it lives.", reload=Reload.MODEL, gt=0)
    hang_timeout: Duration = setting(
        60.0,
        "Silent for longer than this, or inside one step for so much longer than it was planned to take: hung, killed and restarted.",
        reload=Reload.LIVE,
        gt=0,
    )
    load_timeout: Duration = setting(
        1800.0, "A load (fetching included) without progress for longer than this has failed.", reload=Reload.LIVE, gt=0
    )
    restart_backoff: Duration = setting(1.0, "Wait before the first restart after a crash; doubles each time.", reload=Reload.LIVE, gt=0)
    restart_backoff_max: Duration = setting(60.0, "Longest wait before a restart.", reload=Reload.LIVE, gt=0)
    crash_limit: int = setting(
        5,
        "So many crashes within crash_window: the model is failed, and tried again every restart_backoff_max.",
        reload=Reload.LIVE,
        ge=1,
        le=1000,
    )
    crash_window: Duration = setting(600.0, "The time over which crash_limit counts.", reload=Reload.LIVE, gt=0)


class SamplingTable(Table):
    """What requests that say nothing get."""

    temperature: float = setting(1.0, "0: greedy, the most likely token always.", reload=Reload.LIVE, ge=0, le=2)
    top_p: float = setting(1.0, "Nucleus sampling; 1: off.", reload=Reload.LIVE, gt=0, le=1)
    top_k: int = setting(0, "Only the k most likely tokens; 0: off.", reload=Reload.LIVE, ge=0, le=MOST)
    min_p: float = setting(
        0.0, "Only tokens at least this likely, relative to the most likely one; 0: off.", reload=Reload.LIVE, ge=0, le=1
    )
    repetition_penalty: float = setting(
        1.0, "Multiplicative, over prompt and output; 1: off.", reload=Reload.LIVE, ge=LEAST_REPETITION_PENALTY, le=2
    )
    presence_penalty: float = setting(0.0, "Additive, once for each token of the output.", reload=Reload.LIVE, ge=-2, le=2)
    frequency_penalty: float = setting(0.0, "Additive, for each occurrence in the output.", reload=Reload.LIVE, ge=-2, le=2)
    max_tokens: int | None = setting(
        None, "Tokens generated at most. Unset: up to the end of the context.", reload=Reload.LIVE, example=1024, ge=1, le=MOST_TOKENS
    )


class InputTable(Table):
    """How what clients send is read."""

    special_tokens: bool = setting(
        False,
        "false: a message that spells one of the model's control tokens is text. true: it has that token, and may end its own turn; "
        "as prompts of text completions always do.",
        reload=Reload.LIVE,
    )


class OutputTable(Table):
    """How what models write is read."""

    tools: ToolShapeName = setting(
        "auto",
        'The shape in which the model writes calls; "none": it calls no tools, and requests that carry any are refused. "auto": what '
        'its chat template, its tokenizer or its vocabulary shows; "mlxd status MODEL" says which.',
        reload=Reload.MODEL,
    )
    reasoning: ReasoningShapeName = setting(
        "auto",
        'The shape in which the model marks what it thinks before it answers; "none": all that it writes is the answer. "auto": as '
        "for tools.",
        reload=Reload.MODEL,
    )
    strict_tools: bool = setting(
        False,
        "true: the arguments of every call are valid against their tool's schema, by grammar, as if each request said strict.",
        reload=Reload.LIVE,
    )
