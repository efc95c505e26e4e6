"""Simple mode: mlx-lm's own generation, one request at a time, with prompt-cache reuse."""

import contextlib
import copy
import logging
from collections.abc import Generator, Iterator
from typing import Any

import mlx.core as mx
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import make_prompt_cache

from mlxd.types import CacheOutcome, MemoryFigures
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.runner import PrefixFound, Progress, PromptComputed, TokenSampled
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.prompt_cache import Found, PromptCache, always_rewinds
from mlxd.worker.runtime.sampler import Penalties, draw_seed, row_key, sample

_log = logging.getLogger(__name__)

# Tokens per prefill chunk: as large as is efficient, for a request can be stopped only between two of them.
_CHUNK = {"cpu": 128, "gpu": 1024}


class SimpleRunner:
    """``cache`` None: nothing is reused. All calls come from the engine thread."""

    def __init__(self, loaded: LoadedModel, cache: PromptCache | None) -> None:
        self._loaded = loaded
        self._cache = cache
        self._chunk = _CHUNK[loaded.device]
        self._stream = mx.default_stream(mx.default_device())
        self._running: list[Any] = []  # the layer caches of the running request

    def run(self, request: EngineRequest) -> Generator[Progress, None, None]:
        """See ``Runner.run``. What was computed is cached also when the request is aborted: its client may try again.
        After a fault it is not: some layers may hold more tokens than others.
        """
        found = self._cache.find(request.tokens) if self._cache is not None else None
        yield PrefixFound(found.tokens if found else 0, self._outcome(request, found))
        session = _Session(request, found or Found(make_prompt_cache(self._loaded.model), 0))
        self._running = session.layers
        try:
            yield from self._prefill(session)
            if not request.aborted:
                yield from self._decode(session)
        except GeneratorExit:
            self._keep(session)
            raise
        else:
            self._keep(session)
        finally:
            self._running = []

    def memory(self) -> MemoryFigures:
        """MLX's counters, and what the prompt cache and the running request hold."""
        kept = self._cache.nbytes if self._cache is not None else 0
        return MemoryFigures(
            weights=self._loaded.weight_bytes,
            kv=kept + sum(layer.nbytes for layer in self._running),
            mlx_active=mx.get_active_memory(),
            mlx_cache=mx.get_cache_memory(),
            mlx_peak=mx.get_peak_memory(),
        )

    @property
    def cache_entries(self) -> int:
        """Prompts held."""
        return len(self._cache) if self._cache is not None else 0

    def _prefill(self, session: "_Session") -> Iterator[Progress]:
        """All but the last prompt token, chunk by chunk; mlx-lm computes the last one for its logits."""
        remaining = session.request.tokens[len(session.fed) : -1]
        for start in range(0, len(remaining), self._chunk):
            if session.request.aborted:
                return
            chunk = remaining[start : start + self._chunk]
            self._loaded.model(mx.array(chunk)[None], cache=session.layers)
            mx.eval([layer.state for layer in session.layers])
            mx.clear_cache()
            session.fed += chunk
            yield PromptComputed(len(chunk))
        if self._cache is not None and remaining and not always_rewinds(session.layers):
            # The answer cannot be cut off these layers again, so the prompt gets an entry of its own.
            self._cache.store(session.fed, copy.deepcopy(session.layers))

    def _decode(self, session: "_Session") -> Iterator[Progress]:
        request = session.request
        tokens = generate_step(
            mx.array(request.tokens[-1:]),
            self._loaded.model,
            self._stream,
            max_tokens=request.max_tokens,
            sampler=_Sampler(request),
            logits_processors=_processors(request),
            prompt_cache=session.layers,
        )
        session.fed.append(request.tokens[-1])
        with contextlib.closing(tokens):
            for count, (token, _) in enumerate(tokens, start=1):
                session.generated.append(token)
                is_end = token in self._loaded.end_tokens
                yield TokenSampled(token, is_end)
                if is_end or count == request.max_tokens or request.aborted:
                    return

    def _keep(self, session: "_Session") -> None:
        """Store what was fed. mlx-lm is one step ahead: the last token it yielded has been fed already."""
        if self._cache is None or not session.fed:
            return
        try:
            mx.eval([layer.state for layer in session.layers])
            self._cache.store(session.fed + session.generated, session.layers)
        except Exception:  # noqa: BLE001 - the answer is complete: only its reuse is lost
            _log.exception("what request %s computed could not be kept", session.request.id)
        mx.clear_cache()

    def _outcome(self, request: EngineRequest, found: Found | None) -> CacheOutcome | None:
        """``hit``: everything but the last token, which is always computed. A chat template's opening tokens make most
        conversations a ``prefix_hit``.
        """
        if self._cache is None:
            return None
        if found is None:
            return CacheOutcome.MISS
        return CacheOutcome.HIT if found.tokens == len(request.tokens) - 1 else CacheOutcome.PREFIX_HIT


class _Session:
    """One request's layer caches, and what they hold."""

    def __init__(self, request: EngineRequest, start: Found) -> None:
        self.request = request
        self.layers: list[Any] = start.layers
        self.fed = request.tokens[: start.tokens]
        self.generated: list[int] = []


class _Sampler:
    """mlx-lm calls it once per position, in order."""

    def __init__(self, request: EngineRequest) -> None:
        self._params = request.sampling
        self._seed = draw_seed() if self._params.seed is None else self._params.seed
        self._position = 0

    def __call__(self, logprobs: mx.array) -> mx.array:
        """``[1, vocab]`` to ``[1]``."""
        key = row_key(self._seed, self._position)
        self._position += 1
        return sample(logprobs, [self._params], [key])


def _processors(request: EngineRequest) -> list[Any]:
    if not Penalties.needed(request.sampling):
        return []
    penalties: Penalties | None = None

    def process(tokens: mx.array, logits: mx.array) -> mx.array:
        nonlocal penalties
        if penalties is None:  # the first call comes before anything was generated
            penalties = Penalties(request.sampling, request.tokens, logits.shape[-1])
        else:
            penalties.add(tokens[-1:])
        return penalties.apply(logits)

    return [process]
