"""A model that is served: whom its worker asks for what."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mlxd.cache_terms import PinnedPrompt
from mlxd.types import SpeculationKind
from mlxd.wire.messages import Load
from mlxd.worker.adapters.adapter_names import AdapterNames, RefusedAdapters
from mlxd.worker.adapters.catalogue import AdapterCatalogue
from mlxd.worker.adapters.engine_adapters import EngineAdapters
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.encoding_requests import EncodingRequests
from mlxd.worker.encoding_sessions import EncodingSessions
from mlxd.worker.engine.encoding.request import EncodingRequest
from mlxd.worker.engine.pin_order import PinOrder
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.facts.adapters.directory import read_adapter
from mlxd.worker.facts.adapters.fit import FittedAdapter
from mlxd.worker.facts.adapters.tensor_values import ExaminedAdapter
from mlxd.worker.fetch.adapter import fetch_adapter
from mlxd.worker.job_sessions import JobSessions
from mlxd.worker.media_pool import MediaPool
from mlxd.worker.outbox import Outbox
from mlxd.worker.pin_encoder import PinEncoder
from mlxd.worker.pins import Pins
from mlxd.worker.request_encoder import RequestEncoder
from mlxd.worker.servable import ServableEncoder, ServableModel
from mlxd.worker.sessions import Sessions
from mlxd.worker.token_questions import TokenQuestions

_OTHER_TASK = "this model does not generate: it has no adapters"
_THREADS = 4  # that fetch adapters and look at them, which may take minutes


@dataclass(frozen=True)
class Served:
    """What happens on the I/O thread of a worker whose model is ready, and in threads that work for it."""

    sessions: JobSessions
    questions: TokenQuestions
    pins: Pins
    adapters: AdapterNames


def serve(order: Load, model: ServableModel | ServableEncoder, queue: RequestQueue[Any], outbox: Outbox) -> Served:
    """Returns what serves a model, whose requests go through ``queue``."""
    return _encoding(order, model, queue, outbox) if isinstance(model, ServableEncoder) else _generation(order, model, queue, outbox)


def _generation(order: Load, model: ServableModel, queue: RequestQueue[EngineRequest], outbox: Outbox) -> Served:
    looks_up = SpeculationKind.LOOKUP in model.ready.speculation.kinds
    encoder = RequestEncoder(model.encoder, model.block_size, model.constraints, looks_up=looks_up)
    encoder.reconfigure(order.limits)
    media = MediaPool(model.encoder.media)
    adapters = _adapters(order, model, queue, outbox)
    sessions = Sessions(order, encoder, model.answers, queue, outbox.send, media, adapters)
    questions = TokenQuestions(model.encoder, sessions.texts, sessions.tokenizing, outbox.send, media)
    return Served(sessions, questions, Pins(PinEncoder(model.encoder).orders, sessions.tokenizing), adapters)


def _adapters(order: Load, model: ServableModel, queue: RequestQueue[EngineRequest], outbox: Outbox) -> AdapterNames:
    adapters = _names(order, model, queue, outbox)
    adapters.reconfigure(order.limits)
    return adapters


def _names(order: Load, model: ServableModel, queue: RequestQueue[EngineRequest], outbox: Outbox) -> AdapterNames:
    if (store := model.adapters) is None:
        return RefusedAdapters(f"adapters are computed over a paged cache only, and the model is on the {model.ready.runner} runner")

    def look(source: str, anew: bool) -> FittedAdapter:  # noqa: FBT001 - of a thread's call
        return FittedAdapter.of(ExaminedAdapter.of(read_adapter(fetch_adapter(source, anew=anew))), store.places)

    fetching = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="adapter")
    reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="adapter-values")  # behind no download
    return AdapterCatalogue(order.model, look, fetching, EngineAdapters(store, queue, outbox, reading))


def _encoding(order: Load, model: ServableEncoder, queue: RequestQueue[EncodingRequest], outbox: Outbox) -> Served:
    facts, tasks = model.ready.encoding, model.ready.tasks
    if facts is None:
        raise ValueError("a model that encodes has facts of it")
    sessions = EncodingSessions(EncodingRequests(model.inputs, facts, tasks), queue, outbox.send)
    questions = TokenQuestions(model.prompts, model.texts, sessions.tokenizing, outbox.send, MediaPool(None))
    adapters = RefusedAdapters(_OTHER_TASK)
    adapters.reconfigure(order.limits)
    return Served(sessions, questions, Pins(_refused, sessions.tokenizing), adapters)


def _refused(pins: Sequence[PinnedPrompt]) -> tuple[PinOrder, ...]:
    reason = "the model does not generate: it keeps no prompts"
    return tuple(PinOrder(pin.name, CacheRoot(model=""), refusal=reason) for pin in pins)
