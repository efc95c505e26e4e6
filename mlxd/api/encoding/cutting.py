"""Whether texts that are too long are cut: what requests to encode say of it, in the words of several servers."""

from typing import Annotated

from pydantic import Field

from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.validation import Strict
from mlxd.api.keys import ReadyModel
from mlxd.errors import UnsupportedParameterError

AT_THE_LIMIT = -1  # in vLLM's ``truncate_prompt_tokens``


class CuttingFields(Strict):
    """The fields that ask for it. Texts are cut at the model's own limit, which a larger one changes nothing of."""

    truncate: bool | None = None
    truncate_prompt_tokens: Annotated[int, Whole, Field(ge=AT_THE_LIMIT, le=INT32)] | None = None

    def truncates(self, model: ReadyModel) -> bool:
        """Tells whether texts are cut. Raises ``UnsupportedParameterError`` where they would be cut shorter than at the model's limit."""
        limits = [self._limit(field, model) for field in self._limits()]
        return bool(self.truncate) or any(limits)

    def _limits(self) -> tuple[str, ...]:
        """Returns the fields that ask for texts to be cut at so many tokens."""
        return ("truncate_prompt_tokens",)

    def _limit(self, field: str, model: ReadyModel) -> bool:
        asked: int | None = getattr(self, field)
        most = model.ready.encoding.most_tokens if model.ready.encoding else model.ready.context_length
        if asked is not None and asked != AT_THE_LIMIT and asked < most:
            message = f"{field} must be at least {most}, where this model cuts texts: they are not cut shorter"
            raise UnsupportedParameterError(message, param=field)
        return asked is not None
