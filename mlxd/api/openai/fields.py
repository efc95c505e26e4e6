"""The fields that chat and text completions share, checked and ready for the wire."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field, PrivateAttr

from mlxd.api.jobs import Jobs, fanned_out
from mlxd.api.keys import ReadyModel
from mlxd.api.openai.abilities import Need, check_abilities
from mlxd.api.openai.choices import ChoiceFields
from mlxd.api.openai.constraints import ConstraintFields
from mlxd.api.openai.sampling import SamplingFields, Whole
from mlxd.api.openai.stopping import StoppingFields
from mlxd.api.openai.streaming import StreamFields
from mlxd.types import Ability
from mlxd.wire.messages import Generate
from mlxd.wire.output_spec import OutputSpec
from mlxd.wire.prompts import Prompt

_MOST_PRIORITY = 100


class GenerationFields(ChoiceFields, SamplingFields, StoppingFields, ConstraintFields, StreamFields):
    """The fields of both endpoints."""

    model: str
    # lower goes first, as in vLLM
    priority: Annotated[int, Whole, Field(ge=-_MOST_PRIORITY, le=_MOST_PRIORITY)] | None = None

    _ignored: list[str] = PrivateAttr(default_factory=list)

    @abstractmethod
    def prompts(self, model: ReadyModel) -> Sequence[Prompt]:
        """Returns what to generate from. Raises ``InvalidRequestError`` for what the model lacks."""

    @property
    @abstractmethod
    def token_limit(self) -> int | None:
        """Returns how many tokens to generate at most; None leaves it to the model's default."""

    def note_ignored(self, fields: Sequence[str]) -> None:
        """Remembers which fields of the body no API has, for ``warnings``."""
        self._ignored[:] = fields

    @property
    def warnings(self) -> list[str]:
        """Returns what the client should know of its request, though it is answered."""
        return [f"the field {name} is unknown and was ignored" for name in self._ignored]

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
            priority=self.priority or 0,
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
        return OutputSpec(
            stop=self.stop or [],
            include_stop=bool(self.include_stop_str_in_output),
            special_tokens=self.skip_special_tokens is False,
            constraint=None if asked is None else asked.constraint,
        )
