"""The answers of text completions: ``text_completion``, whole and in chunks."""

from collections.abc import Iterator, Sequence
from typing import Any

from typing_extensions import override

from mlxd.api.answer import Answer
from mlxd.api.openai.answers import Documents
from mlxd.types import FinishReason, Usage
from mlxd.wire.messages import Delta, Finished, RequestEvent
from mlxd.wire.parts import Reasoning, Text


class CompletionShape(Documents):
    """The shape of ``text_completion``, whole and in chunks: all the model wrote, in order, for there is no field for reasoning."""

    chunk_kind = "text_completion"

    @override
    def whole(self, answers: Sequence[Answer], usage: Usage) -> bytes:
        texts = ["".join(part.text for part in answer.parts if isinstance(part, Text | Reasoning)) for answer in answers]
        choices = [_text_choice(index, texts[index], answer.end.reason) for index, answer in enumerate(answers)]
        return self.whole_document(self.chunk_kind, choices, answers, usage)

    @override
    def bodies(self, choice: int, event: RequestEvent) -> Iterator[dict[str, Any]]:
        if isinstance(event, Delta | Finished):
            yield from (_text_choice(choice, part.text, None) for part in event.parts if isinstance(part, Text | Reasoning))
        if isinstance(event, Finished):
            yield _text_choice(choice, "", event.reason)


def _text_choice(index: int, text: str, reason: FinishReason | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}
