"""What requests for scores of pairs of texts share, whatever API they are of."""

from typing import Annotated, ClassVar

from pydantic import Field
from typing_extensions import override

from mlxd.api.encoding.cutting import AT_ITS_END, CuttingFields
from mlxd.api.fields.hints import HINTS
from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.tolerance import NUMBER, Rules, hint, only
from mlxd.config.values import MOST_PRIORITY
from mlxd.errors import InvalidRequestError
from mlxd.wire.jobs import Score, TextPair

MOST_PAIRS = 10_000  # Cohere's own limit
_MOST_BYTES = 2**25  # of all pairs, each with its query: half of what a worker may be behind with

_ITS_OWN = "Scores are what the model's files say."

LENIENCY: Rules = {
    **HINTS,
    "max_chunks_per_doc": hint(NUMBER, "A document is never split: it is one chunk."),
    "use_activation": only(True, why=_ITS_OWN),  # noqa: FBT003
    "activation": only(True, why=_ITS_OWN),  # noqa: FBT003
    "raw_scores": only(False, why=_ITS_OWN),  # noqa: FBT003
    "mm_processor_kwargs": only({}),
    "truncation_side": only("right", why=AT_ITS_END),
}


class PairFields(CuttingFields):
    """The fields of requests for scores."""

    tolerated: ClassVar[Rules] = LENIENCY

    model: str
    max_tokens_per_doc: Annotated[int, Whole, Field(ge=1, le=INT32)] | None = None
    instruction: str | None = None
    priority: Annotated[int, Whole, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY)] | None = None

    def job(self, identity: str, pairs: list[TextPair], field: str) -> Score:
        """Returns the worker's job; ``field`` is where its texts are. Raises ``InvalidRequestError`` for more than can be sent at once."""
        if _bytes(pairs, _MOST_BYTES) > _MOST_BYTES:
            message = f"the pairs have more than {_MOST_BYTES} bytes, each with its query. Send fewer of them"
            raise InvalidRequestError(message, param=field)
        return Score(
            id=identity,
            pairs=pairs,
            instruction=self.instruction,
            truncate=self.truncates,
            most_tokens=self.most_tokens,
            document_tokens=self.max_tokens_per_doc,
        )

    @property
    @override
    def truncates(self) -> bool:
        return super().truncates or self.max_tokens_per_doc is not None


def _bytes(pairs: list[TextPair], enough: int) -> int:
    """Returns how many bytes the pairs have, or more than is ``enough``: to count on would take seconds where a query is long."""
    size = 0
    for pair in pairs:
        size += len(pair.query.encode()) + len(pair.document.encode())
        if size > enough:
            break
    return size
