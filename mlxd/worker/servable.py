"""What a loaded model has become, for the stage that serves it; nothing of it is a type of MLX."""

from dataclasses import dataclass

from mlxd.wire.messages import Ready
from mlxd.worker.engine.adapters.store import AdapterStore
from mlxd.worker.engine.device_memory import DeviceMemory
from mlxd.worker.engine.encoding.request import EncodingRequest
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.runner import Runner
from mlxd.worker.text.answers import AnswerReader
from mlxd.worker.text.constraints.answer import AnswerConstraints
from mlxd.worker.text.encoding_input import InputEncoder
from mlxd.worker.text.logprobs import TokenTexts
from mlxd.worker.text.prompt import PromptEncoder


@dataclass(frozen=True)
class ServableModel:
    """A loaded model with everything a worker needs to have it generate. ``block_size`` is that of a paged cache, if it has one;
    ``constraints`` None means that nothing can be enforced of its answers.
    """

    runner: Runner[EngineRequest]
    memory: DeviceMemory
    block_size: int | None
    encoder: PromptEncoder
    answers: AnswerReader
    constraints: AnswerConstraints | None
    ready: Ready
    adapters: AdapterStore | None = None  # None: its runner computes with none


@dataclass(frozen=True)
class ServableEncoder:
    """A loaded model with everything a worker needs to have it make vectors or scores: ``inputs`` makes tokens of texts, ``prompts`` and
    ``texts`` answer questions about tokens.
    """

    runner: Runner[EncodingRequest]
    memory: DeviceMemory
    inputs: InputEncoder
    prompts: PromptEncoder
    texts: TokenTexts
    ready: Ready
