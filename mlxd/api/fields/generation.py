"""What every request for generation has, whatever API it is of: from its fields to the worker's jobs."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field, PrivateAttr

from mlxd.api.fields.abilities import Need, check_abilities
from mlxd.api.fields.sampling import SamplingFields, Whole
from mlxd.api.fields.validation import lenient
from mlxd.api.jobs import Jobs, fanned_out
from mlxd.api.keys import ReadyModel
from mlxd.config.values import MOST_PRIORITY, UnknownFields
from mlxd.types import Ability, Stopping
from mlxd.wire.jobs import Generate
from mlxd.wire.output_spec import Constraint, OutputSpec
from mlxd.wire.prompts import Prompt


@dataclass(frozen=True)
class AskedConstraint:
    """A constraint, and the field that asks for it."""

    field: str
    constraint: Constraint


class GenerationFields(SamplingFields):
    """The fields of all endpoints that generate."""

    model: str
    # lower goes first, as in vLLM
    priority: Annotated[int, Whole, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY)] | None = None

    _ignored: list[str] = PrivateAttr(default_factory=list)

    @abstractmethod
    def prompts(self, model: ReadyModel) -> Sequence[Prompt]:
        """Returns what to generate from. Raises ``InvalidRequestError`` for what the model lacks."""

    @property
    @abstractmethod
    def token_limit(self) -> int | None:
        """Returns how many tokens to generate at most; None leaves it to the model's default."""

    @property
    def choices(self) -> int:
        """Returns how many answers each prompt gets."""
        return 1

    @property
    def stop_strings(self) -> list[str]:
        """Returns what the answer's content ends before."""
        return []

    def stopping(self, vocab_size: int) -> Stopping:  # noqa: ARG002 - for those that name tokens
        """Returns which tokens end the answer. Raises ``InvalidRequestError`` for token ids the model lacks."""
        return Stopping()

    def check_least(self, most: int | None) -> None:
        """Raises ``InvalidRequestError`` where an answer is to have more than its ``most`` tokens."""

    def constraint(self) -> AskedConstraint | None:
        """Returns what all of the answer must be; None where it may be anything. Raises ``InvalidRequestError`` where two fields say so."""
        return None

    def check(self) -> None:
        """Raises ``InvalidRequestError`` for what no field alone can tell."""

    def note_ignored(self, fields: Sequence[str]) -> None:
        """Remembers which fields of the body no API has, for ``warnings``."""
        self._ignored[:] = fields

    @property
    def warnings(self) -> list[str]:
        """Returns what the client should know of its request, though it is answered."""
        return [f"the field {name} is unknown and was ignored" for name in self._ignored]

    @property
    def inline_media(self) -> int:
        """Returns how many characters of the body are files of pictures and films, and no text for a model."""
        return 0

    def to_wire(self, identity: str, model: ReadyModel) -> Jobs:
        """Returns the worker's jobs. Raises ``InvalidRequestError`` for token ids that this model lacks, and ``UnsupportedParameterError``
        for what its runner cannot do.
        """
        defaults, vocab_size = model.config.sampling, model.ready.vocab_size
        max_tokens = defaults.max_tokens if self.token_limit is None else self.token_limit
        self.check_least(max_tokens)
        check_abilities(self.needs(), model)
        prompts = self.prompts(model)
        job = Generate(
            id=identity,
            prompt=prompts[0],
            sampling=self.sampling(defaults, vocab_size),
            max_tokens=max_tokens,
            stopping=self.stopping(vocab_size),
            output=self.output(model),
            priority=self.priority,
        )
        return fanned_out(job, prompts, self.choices)

    def needs(self) -> Iterator[Need]:
        """Yields what the request needs of the model's runner."""
        asked = self.constraint()
        if asked is not None:
            yield Need(Ability.CONSTRAINTS, asked.field)

    def output(self, model: ReadyModel) -> OutputSpec:  # noqa: ARG002 - what the runner lacks matters to other fields
        """Returns what is to be made of the tokens, and what they may be."""
        asked = self.constraint()
        return OutputSpec(stop=self.stop_strings, constraint=None if asked is None else asked.constraint)


G = TypeVar("G", bound=GenerationFields)


def read_request(kind: type[G], body: Mapping[str, Any], unknown: UnknownFields) -> G:
    """Reads the body as a ``kind``. Raises ``InvalidRequestError`` naming the field that is wrong, unknown or not supported yet."""
    request, ignored = lenient(kind, body, unknown)
    request.note_ignored(ignored)
    request.check()
    return request
