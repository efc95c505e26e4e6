"""What requests for scores of pairs of texts share, whatever API they are of."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from mlxd.api.fields.hints import HINTS
from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.tolerance import NUMBER, Rules, hint, only
from mlxd.api.fields.validation import Strict
from mlxd.api.keys import ReadyModel
from mlxd.config.values import MOST_PRIORITY
from mlxd.errors import InvalidRequestError, UnsupportedParameterError
from mlxd.wire.jobs import Score, TextPair

MOST_PAIRS = 10_000  # Cohere's own limit
_MOST_BYTES = 2**25  # of all pairs, each with its query: half of what a worker may be behind with

_ITS_OWN = "Scores are what the model's files say."

LENIENCY: Rules = {
    **HINTS,
    "truncate_prompt_tokens": only(-1, why="Where texts are cut is the model's own limit; truncate: true has them cut there."),
    "max_chunks_per_doc": hint(NUMBER, "A document is never split: it is one chunk."),
    "use_activation": only(True, why=_ITS_OWN),  # noqa: FBT003
    "activation": only(True, why=_ITS_OWN),  # noqa: FBT003
    "raw_scores": only(False, why=_ITS_OWN),  # noqa: FBT003
    "mm_processor_kwargs": only({}),
}


class PairFields(Strict):
    """The fields of requests for scores."""

    tolerated: ClassVar[Rules] = LENIENCY

    model: str
    truncate: bool | None = None
    max_tokens_per_doc: Annotated[int, Whole, Field(ge=1, le=INT32)] | None = None
    instruction: str | None = None
    priority: Annotated[int, Whole, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY)] | None = None

    def job(self, identity: str, model: ReadyModel, pairs: list[TextPair], field: str) -> Score:
        """Returns the worker's job; ``field`` is where its texts are. Raises ``InvalidRequestError`` for more than can be sent at once."""
        size = sum(_bytes(pairs))
        if size > _MOST_BYTES:
            message = f"the pairs have {size} bytes, each with its query; {_MOST_BYTES} are the most. Send fewer of them"
            raise InvalidRequestError(message, param=field)
        return Score(id=identity, pairs=pairs, instruction=self.instruction, truncate=self._truncates(model))

    def _truncates(self, model: ReadyModel) -> bool:
        """Tells whether documents are cut. They are at the model's own limit, which a larger one changes nothing of."""
        if self.max_tokens_per_doc is None:
            return bool(self.truncate)
        most = model.ready.encoding.most_tokens if model.ready.encoding else model.ready.context_length
        if self.max_tokens_per_doc < most:
            message = f"max_tokens_per_doc must be at least {most}, where this model cuts documents: they are not cut shorter"
            raise UnsupportedParameterError(message, param="max_tokens_per_doc")
        return True


def _bytes(pairs: list[TextPair]) -> Iterator[int]:
    for pair in pairs:
        yield len(pair.query.encode()) + len(pair.document.encode())
