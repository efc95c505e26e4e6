"""From a job to encode, as it arrives, to one the engine can compute: its texts become tokens, some at a time."""

from collections.abc import Collection, Sequence
from itertools import count

from mlxd.errors import InvalidRequestError, UnsupportedParameterError, UnsupportedTaskError
from mlxd.types import Task
from mlxd.wire.encoding_facts import EncodingFacts
from mlxd.wire.jobs import TEXT_FIELDS, Embed, Generate, Job, Score
from mlxd.worker.encoded_input import EncodedInput
from mlxd.worker.engine.encoding.packed_inputs import PackedInputs
from mlxd.worker.engine.encoding.request import EncodingRequest
from mlxd.worker.text.encoding_input import InputEncoder

_MAKES = {Task.EMBED: "vectors of texts", Task.RERANK: "scores of texts", Task.GENERATE: "text"}


class EncodingRequests:
    """What makes requests of the jobs of one model, for any thread: of ``tasks`` that it does, by its ``facts``."""

    def __init__(self, inputs: InputEncoder, facts: EncodingFacts, tasks: Collection[Task]) -> None:
        self._inputs = inputs
        self._facts = facts
        self._tasks = tasks

    def check(self, job: Job) -> Embed | Score:
        """Returns the job. Raises a ``MlxdError`` for what the model does not do, or not so; of its texts nothing is known then."""
        task = _task_of(job)
        if isinstance(job, Generate) or task not in self._tasks:
            does = " and ".join(_MAKES[one] for one in self._tasks)
            raise UnsupportedTaskError(f"this model makes {does}; it makes no {_MAKES[task]}", param="model")
        if not texts_of(job):
            raise InvalidRequestError("there is nothing to encode", param=TEXT_FIELDS[task])
        if isinstance(job, Embed):
            self._check_dimensions(job.dimensions)
        return job

    def encode(self, job: Embed | Score, start: int, stop: int) -> list[EncodedInput]:
        """Returns the tokens of a job's texts from ``start`` to ``stop`` (exclusive). Raises a ``MlxdError`` that names the text."""
        if isinstance(job, Embed):
            return [
                self._inputs.embed(
                    text, truncate=job.truncate, most_tokens=job.most_tokens, param=f"input[{place}]", prompt_name=job.prompt_name
                )
                for place, text in zip(count(start), job.inputs[start:stop], strict=False)
            ]
        return [
            self._inputs.pair(
                pair.query,
                pair.document,
                instruction=job.instruction,
                truncate=job.truncate,
                most_tokens=job.most_tokens,
                document_tokens=job.document_tokens,
                param=f"documents[{place}]",
            )
            for place, pair in zip(count(start), job.pairs[start:stop], strict=False)
        ]

    def request(self, job: Embed | Score, inputs: PackedInputs, arrived: float) -> EncodingRequest:
        """Returns the request of a job with all of its texts in tokens."""
        dimensions = job.dimensions if isinstance(job, Embed) and job.dimensions != self._facts.dimension else None
        return EncodingRequest(job.id, inputs, dimensions, job.priority or 0, job.holder, arrived)

    def _check_dimensions(self, asked: int | None) -> None:
        whole, least = self._facts.dimension, self._facts.least_dimension
        if asked is None or asked == whole:
            return
        if least is None:
            message = f"the vectors of this model have {whole} dimensions, and cannot be shortened"
            raise UnsupportedParameterError(message, param="dimensions")
        if not least <= asked <= (whole or 0):
            raise InvalidRequestError(f"the vectors of this model can have {least} to {whole} dimensions, not {asked}", param="dimensions")


def texts_of(job: Embed | Score) -> Sequence[object]:
    """Returns the texts, or the pairs, of a job."""
    return job.inputs if isinstance(job, Embed) else job.pairs


def _task_of(job: Job) -> Task:
    if isinstance(job, Embed):
        return Task.EMBED
    return Task.RERANK if isinstance(job, Score) else Task.GENERATE
