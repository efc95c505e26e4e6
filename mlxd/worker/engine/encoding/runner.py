"""The runner of a model that makes vectors, or scores, of texts."""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from typing_extensions import override

from mlxd.cache_terms import PinFigures, PinState
from mlxd.errors import NotFiniteError
from mlxd.types import Ability, CacheFigures, FinishReason, MemoryFigures, ResolvedLimits
from mlxd.wire.events import Started
from mlxd.worker.engine.encoding.batch import Batch, BatchLimits
from mlxd.worker.engine.encoding.encoder import Encoder
from mlxd.worker.engine.encoding.pending import Pending
from mlxd.worker.engine.encoding.request import EncodingRequest
from mlxd.worker.engine.encoding.shape import BatchCost, BatchShape
from mlxd.worker.engine.encoding.text import Text
from mlxd.worker.engine.encoding.turns import Turns
from mlxd.worker.engine.encoding.workspace import Workspace
from mlxd.worker.engine.events import Encoded
from mlxd.worker.engine.pin_order import PinOrder
from mlxd.worker.engine.runner import Runner, StepReport

_log = logging.getLogger(__name__)

_FIRST = 64  # tokens of the first batch on a device of which nothing is known
_GROWTH = 4  # times the largest batch seen so far, and the next one is no larger
_SHORT = 0.05  # seconds: a step is no shorter for others' sake
LARGEST = 16_384  # tokens of a batch, beyond which nothing is gained


class EncodingRunner(Runner[EncodingRequest]):
    """A runner that computes a batch of texts in a step, of whichever requests, and tells what became of them at once. A step takes no
    longer than is efficient, nor than the live limit ``target_itl``, as far as a text can be computed in that: whoever shares the device,
    and whoever comes next, waits no longer for it.
    ``param`` is the field in which clients send the texts.
    """

    def __init__(
        self, encoder: Encoder, workspace: Workspace, limits: ResolvedLimits, *, param: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._encoder = encoder
        self._workspace = workspace
        self._limits = limits
        self._param = param
        self._clock = clock
        self._cost = BatchCost()
        self._tried = _FIRST // _GROWTH  # tokens of the largest batch observed
        self._turns = Turns(limits.priority_ageing)
        self._pending: dict[str, Pending] = {}
        self._planned = 0.0

    @override
    def add(self, request: EncodingRequest) -> None:
        pending = Pending(request)
        self._turns.add(pending)
        self._pending[request.id] = pending

    @override
    def uncached(self, request: EncodingRequest) -> int:
        return request.size

    @override
    def abort(self, request_id: str) -> None:
        pending = self._pending.pop(request_id, None)
        if pending is not None:
            self._turns.remove(pending)

    @override
    def step(self) -> StepReport:
        batch = self._batch()
        report = StepReport(tokens=batch.tokens, rows=len(batch.texts))
        self._begin(batch.texts, report)
        self._planned = self._cost.seconds(batch.shape)
        began = self._clock()
        encoded = self._encode(batch.texts, report)
        report.seconds = self._clock() - began
        if not report.failed:
            self._learn(report.seconds, batch.shape)
        self._tell(batch.texts, encoded, report)
        return report

    @property
    @override
    def abilities(self) -> frozenset[Ability]:
        return frozenset()

    @property
    @override
    def capacity(self) -> int:
        """Returns how many requests are taken in beside those that may wait: all of them take turns."""
        return self._limits.max_sequences

    @property
    @override
    def planned_seconds(self) -> float:
        return self._planned

    @property
    @override
    def is_idle(self) -> bool:
        return not self._pending

    @override
    def reconfigure(self, limits: ResolvedLimits) -> None:
        self._limits = limits
        self._turns.age_by(limits.priority_ageing)

    @override
    def evict_cached(self) -> int:
        """Returns 0: nothing is kept for later requests."""
        return 0

    @override
    def give_back(self) -> None:
        """Changes nothing: there is no memory that holds nothing."""

    @override
    def pin(self, orders: Sequence[PinOrder]) -> tuple[PinFigures, ...]:
        return tuple(PinFigures(name=order.name, state=PinState.REFUSED, reason=order.refusal) for order in orders)

    @override
    def close(self) -> None:
        """Returns at once: nothing is kept beyond its end."""

    @override
    def memory(self) -> MemoryFigures:
        return self._encoder.memory()

    @override
    def cache(self) -> CacheFigures:
        return CacheFigures()

    # ---- a step ----

    def _batch(self) -> Batch:
        """Returns the texts of the next step, which are pending no more."""
        batch = Batch(self._batch_limits(), self._cost)
        for pending in self._turns.take():
            batch.fill(pending)
        return batch

    def _batch_limits(self) -> BatchLimits:
        most = min(self._limits.step_tokens or LARGEST, _GROWTH * self._tried)
        seconds = min(self._limits.target_itl, max(_SHORT, self._cost.efficient_seconds))
        return BatchLimits(seconds, most, self._workspace, self._limits.restraint.buffer_share)

    def _begin(self, texts: Iterable[Text], report: StepReport) -> None:
        for request_id in dict.fromkeys(text.request_id for text in texts):
            pending = self._pending[request_id]
            if not pending.started:
                pending.started = True
                report.started.append(Started(id=request_id, prompt_tokens=pending.request.tokens, cached_tokens=0, cache=None))

    def _encode(self, texts: Sequence[Text], report: StepReport) -> Sequence[bytes | None]:
        """Computes a batch. Where it fails, the texts of each request are computed alone: nobody fails for somebody else's text."""
        try:
            return self._encoder.encode(texts)
        except Exception as error:  # noqa: BLE001 - whatever is wrong, it is told to those whose texts they are
            requests = dict.fromkeys(text.request_id for text in texts)
            if len(requests) == 1:
                _log.exception("a step failed, and with it the request %s", *requests)
                report.fail(requests, error)
                return [None] * len(texts)
        encoded: dict[tuple[str, int], bytes | None] = {}
        for request_id in requests:
            own = [text for text in texts if text.request_id == request_id]
            encoded.update(zip([text.key for text in own], self._encode(own, report), strict=True))
        return [encoded[text.key] for text in texts]

    def _learn(self, seconds: float, shape: BatchShape) -> None:
        self._cost.observe(seconds, shape)
        self._tried = max(self._tried, shape.padded)

    def _tell(self, texts: Sequence[Text], encoded: Sequence[bytes | None], report: StepReport) -> None:
        """Reports what became of each request of the step, and forgets those that are over."""
        done: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
        for text, values in zip(texts, encoded, strict=True):
            if values is not None:
                done[text.request_id].append((text.place, values))
            elif text.request_id not in report.failed:
                report.failed[text.request_id] = self._not_finite(text)
        for request_id, ready in done.items():
            if request_id not in report.failed:
                report.encoded.append(Encoded(request_id, tuple(place for place, _ in ready), b"".join(values for _, values in ready)))
                if not self._pending[request_id]:
                    report.ended[request_id] = FinishReason.STOP
        for request_id in [*report.failed, *report.ended]:
            self.abort(request_id)

    def _not_finite(self, text: Text) -> NotFiniteError:
        message = f"what the model computed of the text at {text.place} is no number: its weights may be damaged, or its type too narrow"
        return NotFiniteError(message, param=f"{self._param}[{text.place}]")
