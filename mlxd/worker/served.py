"""A model that is served: whom its worker asks for what."""

from dataclasses import dataclass

from mlxd.types import SpeculationKind
from mlxd.wire.messages import Load
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.job_sessions import JobSessions
from mlxd.worker.media_pool import MediaPool
from mlxd.worker.outbox import Outbox
from mlxd.worker.pin_encoder import PinEncoder
from mlxd.worker.pins import Pins
from mlxd.worker.request_encoder import RequestEncoder
from mlxd.worker.servable import ServableModel
from mlxd.worker.sessions import Sessions
from mlxd.worker.token_questions import TokenQuestions


@dataclass(frozen=True)
class Served:
    """What happens on the I/O thread of a worker whose model is ready, and in threads that work for it."""

    sessions: JobSessions
    questions: TokenQuestions
    pins: Pins


def serve_generation(order: Load, model: ServableModel, queue: RequestQueue[EngineRequest], outbox: Outbox) -> Served:
    """Returns what serves a model that generates."""
    looks_up = SpeculationKind.LOOKUP in model.ready.speculation.kinds
    encoder = RequestEncoder(model.encoder, model.block_size, model.constraints, looks_up=looks_up)
    encoder.reconfigure(order.limits)
    media = MediaPool(model.encoder.media)
    sessions = Sessions(order, encoder, model.answers, queue, outbox.send, media)
    questions = TokenQuestions(model.encoder, sessions.texts, sessions.tokenizing, outbox.send, media)
    return Served(sessions, questions, Pins(PinEncoder(model.encoder).orders, sessions.tokenizing))
