"""The fields that say how many answers a request has."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from mlxd.api.fields.validation import Strict, whole

MOST_CHOICES = 128  # of one prompt, as in OpenAI's API


class ChoiceFields(Strict):
    """``n``: so many answers to the prompt, side by side."""

    n: Annotated[int, BeforeValidator(whole), Field(ge=1, le=MOST_CHOICES)] | None = None

    @property
    def choices(self) -> int:
        """Returns how many answers each prompt gets."""
        return self.n or 1
