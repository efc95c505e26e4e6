"""A model whose tokens are dictated: real tokenizer, chat template, parsers, grammars, scheduler and paged cache, and no MLX.

It implements what a worker asks of ``mlxd.worker.runtime.start``, and takes that module's place in ``tests.support.scripted.worker``.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxd.types import Ability, MemoryFigures, ResolvedLimits
from mlxd.wire.messages import NeedsMemory, Ready
from mlxd.wire.model_facts import EndToken, ModelFacts
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.engine.executor import Executor, StepResult
from mlxd.worker.engine.paged_runner import PagedRunner
from mlxd.worker.engine.sampled import SampledToken, TokenLogprob
from mlxd.worker.engine.scheduler import Scheduler
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.sizing import CacheSizing
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.chat_template import ChatTemplate
from mlxd.worker.text.constraints.answer import AnswerConstraints
from mlxd.worker.text.constraints.vocabulary import open_vocabulary
from mlxd.worker.text.conversation import ChatFormat
from mlxd.worker.text.prompt import PromptEncoder
from mlxd.worker.text.shapes import AS_SHOWN, Evidence, find_shapes
from mlxd.worker.text.token_kinds import token_kinds
from tests.support.prompt_tokenizer import PromptTokenizer
from tests.support.scripted.script import answer_to
from tests.support.tiny_model import EOS, SPECIALS, VOCAB, make_tokenizer

TEMPLATE = Path(__file__).parents[2] / "unit" / "worker_text" / "templates" / "qwen3.jinja"
CONTEXT = 500_000  # a token is a byte
_TOKEN_BYTES = 1024  # of keys and values that are not there
_LARGEST_CHUNK = 2**20


class ScriptedTokenizer(PromptTokenizer):
    """The tiny model's, as transformers would wrap it."""

    def __init__(self) -> None:
        self.backend_tokenizer = make_tokenizer()
        super().__init__(self.backend_tokenizer)

    def text(self, ids) -> str:
        """Without control tokens."""
        return self.backend_tokenizer.decode(list(ids), skip_special_tokens=True)


class ScriptedExecutor(Executor):
    """Computes nothing: the next token of a sequence is the next one of what the script has said to its prompt."""

    end_tokens = frozenset({EOS})
    most_scored = 1024
    is_pending = False
    is_growing = False

    def __init__(self, directory: Path, tokenizer: ScriptedTokenizer) -> None:
        self._directory = directory
        self._tokenizer = tokenizer
        self._said: dict[str, tuple[int, list[int]]] = {}

    def open(self, request) -> None:
        said = answer_to(self._directory, self._tokenizer.decode(request.tokens))
        self._said[request.id] = (len(request.tokens), [*self._tokenizer.encode(said, add_special_tokens=False), EOS])

    def close(self, sequence) -> None:
        self._said.pop(sequence, None)

    def settle(self) -> frozenset[str]:
        return frozenset()

    def run(self, plan):
        if not plan.chunks:
            return None
        sampled = {chunk.sequence: (self._next(chunk),) for chunk in plan.chunks if chunk.samples}
        scored: dict[str, tuple[SampledToken, ...]] = {}
        for chunk in plan.chunks:
            scored[chunk.sequence] = scored.get(chunk.sequence, ()) + tuple(map(_scored, chunk.targets))
        return StepResult(plan, sampled, {}, scored)

    def trim(self, plan) -> None:
        pass

    def not_finite(self, cached):
        return frozenset()

    def reset(self) -> None:
        pass

    def memory(self) -> MemoryFigures:
        return MemoryFigures()

    def _next(self, chunk) -> SampledToken:
        prompt, said = self._said[chunk.sequence]
        return _scored(said[min(chunk.start + chunk.count - prompt, len(said) - 1)])


def _scored(token: int) -> SampledToken:
    return SampledToken(token, -0.5, (TokenLogprob(token, -0.5),))


@dataclass(frozen=True)
class ScriptedModel:
    """As ``mlxd.worker.runtime.start.ServableModel``."""

    runner: PagedRunner
    memory: None  # there is no device
    block_size: int
    encoder: PromptEncoder
    answers: AnswerReader
    constraints: AnswerConstraints
    ready: Ready
    adapters: None = None  # it computes with none


def start_model(order, limits: ResolvedLimits, progress, permit) -> ScriptedModel:
    """As ``mlxd.worker.runtime.start.start_model``."""
    began = time.monotonic()
    limits = ResolvedLimits.of(limits, permit(NeedsMemory(weights=1, cache=limits.cache_bytes, transients=1)))
    tokenizer, root = ScriptedTokenizer(), CacheRoot(model=order.source)
    chat, context = _chat(tokenizer), order.context_length or CONTEXT
    vocabulary = open_vocabulary(tokenizer, width=VOCAB, ends=[EOS])
    ready = Ready(
        runner="paged",
        runner_reason="its script is in a file",
        limits=limits,
        device="cpu",
        dtype="float32",
        context_length=context,
        vocab_size=VOCAB,
        weight_bytes=1,
        load_seconds=time.monotonic() - began,
        versions={"mlx": "0", "mlx_lm": "0"},
        abilities=list(Ability),
        facts=ModelFacts(
            chat_template=TEMPLATE.name,
            end_tokens=[EndToken(id=EOS, text=SPECIALS[2], origins=["the script"])],
            tools=chat.shapes.tools,
            reasoning=chat.shapes.reasoning,
        ),
    )
    return ScriptedModel(
        _runner(ScriptedExecutor(Path(order.source), tokenizer), order.block_size, limits),
        None,
        order.block_size,
        PromptEncoder(tokenizer, chat, vocab_size=VOCAB, context_length=context, root=root),
        AnswerReader(tokenizer.text, token_kinds(tokenizer), chat.shapes),
        AnswerConstraints(vocabulary, chat.shapes),
        ready,
    )


def _runner(executor: Executor, block_size: int, limits: ResolvedLimits) -> PagedRunner:
    sizing = CacheSizing(block_size, _TOKEN_BYTES, 0)
    sizes = sizing.sizes(limits.cache_bytes, limits.max_sequences)
    manager = Manager(block_size=block_size, arena_blocks=sizes.arena_blocks, capacity=sizes.capacity, snapshots=None)
    budget = StepBudget(largest=_LARGEST_CHUNK)
    scheduler = Scheduler(manager, limits, budget, end_tokens=executor.end_tokens, most_scored=executor.most_scored)
    return PagedRunner(scheduler, manager, executor, sizing, limits)


def _chat(tokenizer: Any) -> ChatFormat:
    text = TEMPLATE.read_text(encoding="utf-8")
    chat = ChatFormat.of(ChatTemplate(text, TEMPLATE.name, {"bos_token": SPECIALS[0], "eos_token": SPECIALS[2], "enable_thinking": True}))
    example = chat.traits.example
    written = {"a call": example.written} if example else {}
    shapes = find_shapes(Evidence(written | {TEMPLATE.name: text}, frozenset(tokenizer.get_vocab()), tells_tools=True), AS_SHOWN)
    return ChatFormat(chat.renderer, chat.traits, shapes)
