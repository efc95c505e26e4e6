"""Simple mode: mlx-lm's own generation, one request at a time, with prompt-cache reuse."""

import contextlib
import copy
import logging
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

import mlx.core as mx
from mlx_lm.generate import generate_step
from mlx_lm.models.cache import make_prompt_cache
from typing_extensions import override

from mlxd.errors import NotFiniteError
from mlxd.types import Ability, FinishReason, Limits, ResolvedLimits
from mlxd.wire.events import Started
from mlxd.worker.engine.events import PromptScored
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.runner import ALL_OF_TEXT, StepReport
from mlxd.worker.engine.sampled import Sampled, SampledToken
from mlxd.worker.engine.step_cost import StepShape
from mlxd.worker.runtime.entries.entry_runner import EntryRunner
from mlxd.worker.runtime.entries.prompt_cache import Found, PromptCache, always_rewinds
from mlxd.worker.runtime.entries.token_stream import TokenStream
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.sampling.sampler import RequestSampler
from mlxd.worker.runtime.sampling.scores import ScoredRow, checked_scores, score

_log = logging.getLogger(__name__)

# Tokens per prefill chunk: as large as is efficient, for a request can be stopped only between two of them.
_LARGEST_CHUNK = {"cpu": 128, "gpu": 1024}


@dataclass(frozen=True)
class _Waiting:
    request: EngineRequest


class SimpleRunner(EntryRunner[_Waiting]):
    """A runner of one request at a time."""

    def __init__(self, loaded: LoadedModel, cache: PromptCache | None, limits: ResolvedLimits) -> None:
        super().__init__(loaded, cache, limits, largest_chunk=_LARGEST_CHUNK[loaded.device])
        self._chunks = Limits(step_tokens=self._budget.largest)
        self._shape = StepShape()  # of the present step
        self._stream = mx.default_stream(mx.default_device())
        self._session: _Session | None = None  # of the running request

    @override
    def add(self, request: EngineRequest) -> None:
        self._waiting.add(_Waiting(request))

    @override
    def abort(self, request_id: str) -> None:
        """Caches what was computed: its client may try again."""
        if self._session is not None and self._session.request.id == request_id:
            self._end()
            return
        for waiting in [waiting for waiting in self._waiting if waiting.request.id == request_id]:
            self._waiting.remove(waiting)

    @property
    @override
    def abilities(self) -> frozenset[Ability]:
        return ALL_OF_TEXT

    @property
    @override
    def capacity(self) -> int:
        return 1

    @property
    @override
    def planned_seconds(self) -> float:
        return self._budget.seconds(self._shape)

    @property
    @override
    def is_idle(self) -> bool:
        return self._session is None and not self._waiting

    @override
    def step(self) -> StepReport:
        """Computes one chunk of a prompt, or one token; the first step of a request only asks the cache."""
        began = monotonic()
        try:
            report = self._compute(began)
        except NotFiniteError as error:  # a token was computed: only its logits are worth nothing
            return self._fail(error, StepReport(seconds=monotonic() - began, tokens=1, rows=1))
        except Exception as error:  # noqa: BLE001 - whatever MLX or a model raises ends this request, not the others
            return self._fail(error, StepReport())
        if report.ended:
            self._end()
        return report

    def _compute(self, began: float) -> StepReport:
        session = self._session or self._begin()
        report = next(session.steps, None)
        if report is None:
            raise RuntimeError("the model stopped without an end")
        report.seconds = monotonic() - began
        if report.tokens:
            self._budget.observe(report.seconds, self._shape)
        return report

    def _end(self) -> None:
        """Frees the place first: what goes wrong with keeping what was computed concerns nobody else."""
        session, self._session = self._session, None
        if session is not None:
            _close(session)

    def _fail(self, error: Exception, report: StepReport) -> StepReport:
        running, self._session = self._session, None
        self._strike([] if running is None else [_Waiting(running.request)], error, report)
        if running is not None:
            _close(running)  # here, and not wherever the garbage collector finds it
        return report

    @property
    @override
    def _running_bytes(self) -> int:
        return sum(layer.nbytes for layer in self._session.layers) if self._session is not None else 0

    def _begin(self) -> "_Session":
        waiting = self._take_first()
        if waiting is None:
            raise RuntimeError("nobody waits")
        session = _Session(waiting.request)
        session.steps = self._run(session)
        self._session, self._joining = session, None
        return session

    def _run(self, session: "_Session") -> Generator[StepReport, None, None]:
        """Yields the reports of the session's steps. Closing it early, at any point, keeps what was computed. After a fault it is not kept:
        some layers may hold more tokens than others.
        """
        request = session.request
        found = self._find(request.prompt) if not request.prompt_logprobs else None
        session.begin(found or Found(make_prompt_cache(self._loaded.model), 0))
        cache = self._outcome(request.tokens, found)
        started = Started(id=request.id, prompt_tokens=len(request.tokens), cached_tokens=found.tokens if found else 0, cache=cache)
        yield StepReport(started=[started])
        try:
            yield from self._prefill(session)
            yield from self._decode(session) if request.max_tokens else [StepReport(ended={request.id: FinishReason.LENGTH})]
        except GeneratorExit:
            self._keep(session)
            raise

    def _prefill(self, session: "_Session") -> Iterator[StepReport]:
        """Computes all but the last prompt token, chunk by chunk; mlx-lm computes the last one for its logits."""
        cached = len(session.fed)
        remaining = session.request.tokens[cached:-1]
        while remaining:
            count = self._budget.undisturbed(self._chunks)
            chunk, remaining = remaining[:count], remaining[count:]
            self._shape = StepShape(prompts=1, prefill_tokens=len(chunk))
            logits = self._loaded.model(mx.array(chunk)[None], cache=session.layers)
            mx.eval([layer.state for layer in session.layers])
            session.fed += chunk
            if session.request.prompt_logprobs:
                session.score(logits[0])
            del logits
            mx.clear_cache()
            yield StepReport(tokens=len(chunk), rows=1)
        if session.request.prompt_logprobs:
            yield StepReport(scored=[PromptScored(session.request.id, tuple(session.scores))])
        if self._cache is not None and len(session.fed) > cached and not always_rewinds(session.layers):
            # The answer cannot be cut off these layers again, so the prompt gets an entry of its own.
            self._cache.store(session.fed, session.request.prompt.root, copy.deepcopy(session.layers))

    def _decode(self, session: "_Session") -> Iterator[StepReport]:
        self._shape = StepShape(decode_rows=1)
        request = session.request
        stream = TokenStream(request, self._loaded, self._masks)
        tokens = generate_step(
            mx.array(request.tokens[-1:]),
            self._loaded.model,
            self._stream,
            max_tokens=request.max_tokens,
            sampler=RequestSampler(request.sampling),
            logits_processors=stream.processors,
            prompt_cache=session.layers,
        )
        session.fed.append(request.tokens[-1])
        with contextlib.closing(tokens):
            for count, (sampled, _) in enumerate(tokens, start=1):
                token = stream.take(sampled)
                session.generated.append(token.id)
                is_end = token.id in stream.ends
                report = StepReport(sampled=[Sampled(request.id, (token,), is_end)], tokens=1, rows=1)
                if is_end or count == request.max_tokens:
                    report.ended[request.id] = FinishReason.STOP if is_end else FinishReason.LENGTH
                yield report

    def _keep(self, session: "_Session") -> None:
        """Stores what was fed. mlx-lm is one step ahead: the last token it yielded has been fed already."""
        if self._cache is None or not session.fed:
            return
        try:
            mx.eval([layer.state for layer in session.layers])
            self._cache.store(session.fed + session.generated, session.request.prompt.root, session.layers)
        except Exception:  # noqa: BLE001 - the answer is complete: only its reuse is lost
            _log.exception("what request %s computed could not be kept", session.request.id)
        mx.clear_cache()


class _Session:
    """The running request, its layer caches, and what they hold."""

    def __init__(self, request: EngineRequest) -> None:
        self.request = request
        self.layers: list[Any] = []
        self.fed: list[int] = []
        self.generated: list[int] = []
        self.scores: list[SampledToken] = []  # of the prompt's tokens from its second on, where they are wanted
        self.steps: Generator[StepReport, None, None]

    def begin(self, start: Found) -> None:
        """Begins with layer caches that hold the first tokens of the prompt."""
        self.layers = start.layers
        self.fed = self.request.tokens[: start.tokens]

    def score(self, logits: mx.array) -> None:
        """Takes the logits ``[n, vocab]`` of the ``n`` tokens fed last. Raises ``NotFiniteError``."""
        known = len(self.scores)
        targets = self.request.tokens[known + 1 : known + 1 + logits.shape[0]]
        rows = [ScoredRow(self.request.id, self.request.logprobs or 0)] * len(targets)
        self.scores += checked_scores(score(logits, mx.array(targets), rows).read())


def _close(session: _Session) -> None:
    """Ends the session's steps, where they have not ended; what was computed is kept."""
    try:
        session.steps.close()
    except Exception:  # noqa: BLE001 - the answer is complete, or nobody's: only its reuse is lost
        _log.exception("what request %s computed could not be kept", session.request.id)
