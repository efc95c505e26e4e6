"""What the API stands on, in memory: a registry, workers whose answers the test writes, and telemetry that remembers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

from mlxd.client.worker_client import RequestStream, WorkerExit
from mlxd.config.schema import ModelTable
from mlxd.control.model.status import ModelStatus
from mlxd.control.model_names import Asked, ModelNames
from mlxd.control.telemetry import RequestRecord
from mlxd.errors import MlxdError, ModelNotFoundError
from mlxd.types import Ability, CacheOutcome, FinishReason, ModelState, ResolvedLimits, Timings, Usage
from mlxd.wire.error_info import ErrorInfo
from mlxd.wire.events import Delta, Echo, Embedded, Failed, Finished, Scored, Started
from mlxd.wire.jobs import Generate, Job
from mlxd.wire.logprobs import TokenLogprobs
from mlxd.wire.messages import Heartbeat, Ready, Tokenized
from mlxd.wire.parts import text_parts
from mlxd.wire.prompts import ChatPrompt, Prompt, TextPrompt
from tests.support.patience import PATIENCE

CREATED = 1_700_000_000
READY = Ready(
    runner="simple",
    runner_reason="configured",
    device="cpu",
    dtype="float32",
    context_length=2048,
    vocab_size=1000,
    weight_bytes=1,
    limits=ResolvedLimits(cache_bytes=0),
    load_seconds=0.1,
    versions={"mlx": "0", "mlx_lm": "0"},
    abilities=list(Ability),
)


class FakeRequest:
    """One submitted request; the test says what its worker does."""

    def __init__(self, job: Job, stream: RequestStream) -> None:
        self.job = job
        self.stream = stream
        self.aborted = asyncio.Event()
        self._tokens = 0
        self._prompt_tokens = 7
        self._cached = 0

    @property
    def generate(self) -> Generate:
        assert isinstance(self.job, Generate)
        return self.job

    def started(self, *, cache: CacheOutcome | None = CacheOutcome.MISS, prompt_tokens: int = 7, cached_tokens: int = 0) -> None:
        self._prompt_tokens, self._cached = prompt_tokens, cached_tokens
        self.stream.push(Started(id=self.job.id, prompt_tokens=prompt_tokens, cached_tokens=cached_tokens, cache=cache))

    def echoed(self, text: str, tokens: Sequence[TokenLogprobs] = ()) -> None:
        self.stream.push(Echo(id=self.job.id, text=text, tokens=list(tokens)))

    def delta(self, text: str, tokens: int = 1, logprobs: Sequence[TokenLogprobs] = ()) -> None:
        self._tokens += tokens
        self.stream.push(Delta(id=self.job.id, parts=text_parts(text), tokens=tokens, logprobs=list(logprobs)))

    def embedded(self, vectors: dict[int, bytes]) -> None:
        """Some vectors, by their places."""
        self.stream.push(Embedded(id=self.job.id, places=[*vectors], vectors=b"".join(vectors.values())))

    def scored(self, scores: dict[int, float]) -> None:
        """Some scores, by their places."""
        self.stream.push(Scored(id=self.job.id, places=[*scores], scores=[*scores.values()]))

    def finish(self, text: str = "", tokens: int = 0, reason: FinishReason = FinishReason.STOP, *, cumulative: float | None = None) -> None:
        self._tokens += tokens
        usage = Usage(prompt_tokens=self._prompt_tokens, completion_tokens=self._tokens, cached_tokens=self._cached)
        timings = Timings(queue=0.1, prefill=0.2, decode=0.3)
        self.stream.push(
            Finished(
                id=self.job.id,
                parts=text_parts(text),
                tokens=tokens,
                reason=reason,
                usage=usage,
                timings=timings,
                cumulative_logprob=cumulative,
            )
        )

    def fail(self, error: MlxdError) -> None:
        """As a worker's refusal arrives: over the wire."""
        info = ErrorInfo(code=error.code, message=error.message, param=error.param, retry_after=error.retry_after)
        self.stream.push(Failed(id=self.job.id, error=info))

    def lose(self, error: MlxdError) -> None:
        """As the connection fails a request whose worker is gone."""
        self.stream.fail(error)


def echo(request: FakeRequest) -> None:
    """Answer at once with the words of the prompt."""
    prompt = request.generate.prompt
    text = prompt.messages[-1].content if isinstance(prompt, ChatPrompt) else prompt.text if isinstance(prompt, TextPrompt) else "tokens"
    request.started()
    for word in text.split(" "):
        request.delta(f"{word} ")
    request.finish()


class FakeWorker:
    """A ``WorkerClient``. With ``script`` unset, the test takes each request with ``next_request()`` and answers it."""

    pid = 4242
    heartbeat = None
    limits = None

    def __init__(self) -> None:
        self.script: Callable[[FakeRequest], None] | None = None
        self.submitted: list[FakeRequest] = []
        self.tokenized: list[Prompt] = []
        self._new: asyncio.Queue[FakeRequest] = asyncio.Queue()

    def submit(self, request: Job) -> RequestStream:
        stream = RequestStream(request.id, lambda _id: fake.aborted.set())
        fake = FakeRequest(request, stream)
        self.submitted.append(fake)
        self._new.put_nowait(fake)
        if self.script:
            self.script(fake)
        return stream

    async def next_request(self) -> FakeRequest:
        return await asyncio.wait_for(self._new.get(), PATIENCE)

    async def tokenize(self, prompt, *, with_pieces: bool = False) -> Tokenized:
        """The letters of a text, or of all messages."""
        self.tokenized.append(prompt)
        text = "".join(message.content for message in prompt.messages) if isinstance(prompt, ChatPrompt) else prompt.text
        return Tokenized(id="1", tokens=[ord(letter) for letter in text], pieces=list(text) if with_pieces else [])

    async def detokenize(self, token_ids) -> str:
        return "".join(map(chr, token_ids))

    async def start(self, load, watcher) -> Ready:
        raise NotImplementedError

    async def wait_exit(self) -> WorkerExit:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    @property
    def running(self) -> int:
        return 0

    @property
    def waiting(self) -> int:
        return 0


@dataclass
class FakeModel:
    """A ``ReadyModel``; with ``error`` set, one that is not ready."""

    name: str
    config: ModelTable
    adapter: str = ""
    ready: Ready = READY
    client: FakeWorker = field(default_factory=FakeWorker)
    state: ModelState = ModelState.READY
    on_demand: bool = False
    heartbeat: Heartbeat | None = None
    error: MlxdError | None = None


class FakeRegistry:
    """``api.keys.Models`` over a dictionary."""

    def __init__(self) -> None:
        self.models: dict[str, FakeModel] = {}

    def add(self, name: str, **settings) -> FakeModel:
        self.models[name] = FakeModel(name, ModelTable.model_validate({"source": "org/tiny"} | settings))
        return self.models[name]

    def resolve(self, name: str) -> Asked:
        found = ModelNames.of({model.name: model.config for model in self.models.values()}).asked(name)
        if found is None:
            raise ModelNotFoundError(f"the model {name!r} does not exist", param="model")
        return found

    def status(self, name: str) -> ModelStatus:
        model = self.models[name]
        ready = model.ready if model.state is ModelState.READY else None
        return ModelStatus(
            name=name,
            config=model.config,
            state=model.state,
            on_demand=model.on_demand,
            since=CREATED,
            created=CREATED,
            ready=ready,
            heartbeat=model.heartbeat,
        )

    def statuses(self) -> list[ModelStatus]:
        return [self.status(name) for name in self.models]

    @contextlib.asynccontextmanager
    async def hold(self, asked: Asked) -> AsyncIterator[FakeModel]:
        yield replace(await self.ensure_ready(asked.model), adapter=asked.adapter)

    async def ensure_ready(self, name: str) -> FakeModel:
        model = self.models[name]
        if model.error:
            raise model.error
        return model


class FakeTelemetry:
    """Remembers what it was told; ``next_record`` waits for the next request to be over."""

    def __init__(self) -> None:
        self.records: list[RequestRecord] = []
        self.rejections: list[tuple[str, str]] = []
        self._new: asyncio.Queue[RequestRecord] = asyncio.Queue()

    def request_finished(self, record: RequestRecord) -> None:
        self.records.append(replace(record))
        self._new.put_nowait(record)

    def request_rejected(self, model: str, reason: str) -> None:
        self.rejections.append((model, reason))

    def step(self, model, stats) -> None: ...

    def cache_evicted(self, model, entries) -> None: ...

    def model_loaded(self, model, seconds) -> None: ...

    def worker_restarted(self, model, reason) -> None: ...

    async def next_record(self) -> RequestRecord:
        return await asyncio.wait_for(self._new.get(), PATIENCE)
