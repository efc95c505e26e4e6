"""OpenAI's predicted outputs: what the client thinks the answer will be. It is guessed first, and changes nothing of the answer."""

from typing import Literal

from mlxd.api.fields.validation import Strict
from mlxd.api.openai.content import Texts, content_text


class Prediction(Strict):
    """The content of the answer, as far as the client knows it: a file that is to be edited, for one."""

    type: Literal["content"]
    content: Texts

    @property
    def text(self) -> str:
        """Returns it as one text."""
        return content_text(self.content)
