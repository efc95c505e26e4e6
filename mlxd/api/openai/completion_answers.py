"""The answers of text completions: ``text_completion``, whole and in chunks."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from mlxd.api.answer import Answer
from mlxd.api.keys import ReadyModel
from mlxd.api.openai.answers import Documents, StreamUsage, stop_reason
from mlxd.api.openai.best_of import best
from mlxd.api.openai.text_logprobs import TextLogprobs
from mlxd.types import Usage
from mlxd.wire.events import Delta, Echo, Finished, RequestEvent
from mlxd.wire.parts import Part, Reasoning, Text


@dataclass(frozen=True, kw_only=True)
class CompletionStyle:
    """What the answers have: the likeliest ``kept`` of the ``per_prompt`` that are made for each prompt, and log-probabilities or none."""

    per_prompt: int
    kept: int
    has_logprobs: bool


class CompletionShape(Documents):
    """The shape of ``text_completion``, whole and in chunks: all the model wrote, in order, behind its prompt where that is echoed."""

    chunk_kind = "text_completion"

    def __init__(
        self, identity: str, model: ReadyModel, stream_usage: StreamUsage, style: CompletionStyle, warnings: Sequence[str] = ()
    ) -> None:
        super().__init__(identity, model, stream_usage, warnings)
        self._style = style
        self._logprobs: dict[int, TextLogprobs] = defaultdict(TextLogprobs)  # by choice, of a stream

    @override
    def whole(self, answers: Sequence[Answer], usage: Usage) -> bytes:
        per_prompt, kept = self._style.per_prompt, self._style.kept
        given: list[dict[str, Any]] = []
        for first in range(0, len(answers), per_prompt):
            echo = answers[first].echo  # all of a prompt's answers begin with it
            given += [self._choice(answer, echo) for answer in best(answers[first : first + per_prompt], kept)]
        return self.whole_document(self.chunk_kind, [{"index": index, **choice} for index, choice in enumerate(given)], answers, usage)

    @override
    def bodies(self, choice: int, event: RequestEvent) -> Iterator[dict[str, Any]]:
        for told in self._told(choice, event):
            yield {"index": choice, **told}

    def _choice(self, answer: Answer, echo: Echo | None) -> dict[str, Any]:
        """Returns a whole choice, but for its place."""
        text, told = _text(answer.parts), None
        logprobs = TextLogprobs()
        if echo is not None:
            text = echo.text + text
        if self._style.has_logprobs:
            before = [] if echo is None else [logprobs.echo(echo.text, echo.tokens)]
            told = _joined([*before, logprobs.more(answer.logprobs)])
        return {"text": text, "logprobs": told, "finish_reason": answer.end.reason, **stop_reason(answer.end)}

    def _told(self, choice: int, event: RequestEvent) -> Iterator[dict[str, Any]]:
        """Returns what an event adds to a choice of a stream."""
        logprobs = self._logprobs[choice] if self._style.has_logprobs else None
        if isinstance(event, Echo):
            yield _more(event.text, None if logprobs is None else logprobs.echo(event.text, event.tokens))
        elif isinstance(event, Delta | Finished):
            text = _text(event.parts)
            if text or event.logprobs:
                yield _more(text, None if logprobs is None else logprobs.more(event.logprobs))
        if isinstance(event, Finished):
            yield {**_more("", None), "finish_reason": event.reason, **stop_reason(event)}


def _text(parts: Sequence[Part]) -> str:
    return "".join(part.text for part in parts if isinstance(part, Text | Reasoning))


def _more(text: str, logprobs: dict[str, Any] | None) -> dict[str, Any]:
    return {"text": text, "logprobs": logprobs, "finish_reason": None}


def _joined(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: [entry for part in told for entry in part[name]] for name in told[0]}
