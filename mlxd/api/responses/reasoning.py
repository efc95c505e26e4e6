"""``reasoning``: how much a model thinks, and how that is told."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from mlxd.api.fields.effort import Effort
from mlxd.api.fields.tolerance import Rules
from mlxd.api.fields.validation import Strict, nothing_if_empty
from mlxd.api.responses.leniency import REASONING

_Summary = Annotated[Literal["auto", "concise", "detailed", "none"] | None, BeforeValidator(nothing_if_empty)]


class ReasoningSettings(Strict):
    """What is asked of reasoning. ``generate_summary`` is the old name of ``summary``."""

    tolerated: ClassVar[Rules] = REASONING

    effort: Annotated[Effort | None, BeforeValidator(nothing_if_empty)] = None
    summary: _Summary = None
    generate_summary: _Summary = None

    @property
    def as_summary(self) -> bool:
        """Tells whether the client reads reasoning as a summary. Else it reads it as it is."""
        return (self.summary or self.generate_summary or "none") != "none"

    def sent_back(self) -> dict[str, Any]:
        """Returns the settings as the answer repeats them."""
        asked = self.summary or self.generate_summary
        return {"effort": self.effort, "summary": None if asked == "none" else asked}
