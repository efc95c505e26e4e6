"""What the runners over whole-prompt entries have in common: their cache, their figures, and the way out of the waiting line."""

import logging
from abc import abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

import mlx.core as mx
from typing_extensions import override

from mlxd.types import CacheFigures, CacheOutcome, MemoryFigures, ResolvedLimits
from mlxd.worker.encoded_prompt import EncodedPrompt
from mlxd.worker.engine.mask_pool import MaskPool
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.runner import Runner, StepReport
from mlxd.worker.engine.step_budget import StepBudget
from mlxd.worker.engine.waiting_line import Ranked, WaitingLine
from mlxd.worker.runtime.entries.prompt_cache import Found, PromptCache, outcome
from mlxd.worker.runtime.loading import LoadedModel

_log = logging.getLogger(__name__)

T = TypeVar("T", bound=Ranked)


class EntryRunner(Runner[EngineRequest], Generic[T]):
    """A runner whose prefix cache keeps whole prompts; without a ``cache`` nothing is reused. ``T`` stands for one request, and
    ``largest_chunk`` is of prompt tokens in a step.
    """

    def __init__(self, loaded: LoadedModel, cache: PromptCache | None, limits: ResolvedLimits, *, largest_chunk: int) -> None:
        self._loaded = loaded
        self._cache = cache
        self._limits = limits
        self._budget = StepBudget(largest=largest_chunk)
        self._waiting: WaitingLine[T] = WaitingLine(limits.priority_ageing)
        self._joining: T | None = None  # neither waiting nor running for sure
        self._masks = MaskPool()

    @property
    @abstractmethod
    def _running_bytes(self) -> int:
        """Returns what running requests hold of keys, values and states."""

    @override
    def reconfigure(self, limits: ResolvedLimits) -> None:
        self._limits = limits
        self._waiting.ageing = limits.priority_ageing
        if self._cache is not None:
            self._cache.resize(max_entries=limits.cache_entries, max_bytes=limits.usable_cache())
            mx.clear_cache()

    @override
    def uncached(self, request: EngineRequest) -> int:
        prompt = request.prompt
        return len(prompt.tokens) - (self._cache.known(prompt.tokens, prompt.root) if self._cache is not None else 0)

    @override
    def evict_cached(self) -> int:
        dropped = self._cache.clear() if self._cache is not None else 0
        mx.clear_cache()
        return dropped

    @override
    def close(self) -> None:
        """Returns at once: whole prompts are kept in memory alone."""

    @override
    def give_back(self) -> None:
        """Changes nothing: there is no memory that holds nothing."""

    @override
    def memory(self) -> MemoryFigures:
        """Counts as KV what kept prompts and running requests hold."""
        figures = self.cache()
        return MemoryFigures(
            weights=self._loaded.weight_bytes,
            kv=figures.bytes_used + figures.bytes_cached,
            mlx_active=mx.get_active_memory(),
            mlx_cache=mx.get_cache_memory(),
            mlx_peak=mx.get_peak_memory(),
        )

    @override
    def cache(self) -> CacheFigures:
        if self._cache is None:
            return CacheFigures(bytes_used=self._running_bytes)
        return self._cache.figures(self._running_bytes)

    # ---- for the runners ----

    def _find(self, prompt: EncodedPrompt) -> Found | None:
        return self._cache.find(prompt.tokens, prompt.root) if self._cache is not None else None

    def _outcome(self, prompt: list[int], found: Found | None) -> CacheOutcome | None:
        """Returns what the cache did for ``prompt``; None where there is no cache."""
        return outcome(prompt, found) if self._cache is not None else None

    def _take_first(self) -> T | None:
        """Takes who goes first out of the line, if anybody waits. Until the caller says that it runs, by forgetting who is joining, a fault
        strikes it too.
        """
        self._joining = first = next(iter(self._waiting), None)
        if first is not None:
            self._waiting.remove(first)
        return first

    def _strike(self, running: Iterable[T], error: Exception, report: StepReport) -> None:
        """Ends whoever runs, or was about to, but for those whose end is in ``report`` already; those that wait go on."""
        struck = [*running, *([self._joining] if self._joining is not None else [])]
        self._joining = None
        _log.error("a step failed, and with it the requests %s", [one.request.id for one in struck], exc_info=error)
        report.fail([one.request.id for one in struck], error)
        for one in [one for one in struck if one in self._waiting]:
            self._waiting.remove(one)
