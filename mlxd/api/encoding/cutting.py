"""Whether texts that are too long are cut, and where: what requests to encode say of it, in the words of several servers."""

from typing import Annotated

from pydantic import AfterValidator, Field

from mlxd.api.fields.sampling import INT32, Whole
from mlxd.api.fields.validation import Strict, problem

AT_ITS_END = "A text is cut at its end."
AT_THE_LIMIT = -1  # in vLLM's ``truncate_prompt_tokens``


def _some(value: int) -> int:
    if value == 0:
        raise problem(f"must be {AT_THE_LIMIT} or at least 1")
    return value


class CuttingFields(Strict):
    """The fields that ask for it. Texts are cut at their end, and at the model's own limit wherever a field would cut them later."""

    truncate: bool | None = None
    truncate_prompt_tokens: Annotated[int, Whole, Field(ge=AT_THE_LIMIT, le=INT32), AfterValidator(_some)] | None = None

    @property
    def truncates(self) -> bool:
        """Tells whether texts are cut."""
        return bool(self.truncate) or self.truncate_prompt_tokens is not None

    @property
    def most_tokens(self) -> int | None:
        """Returns at how many tokens they are cut, with those that the tokenizer adds; None: at the model's limit."""
        return None if self.truncate_prompt_tokens == AT_THE_LIMIT else self.truncate_prompt_tokens
