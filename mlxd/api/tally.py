"""``Tally``: the tokens of one request, summed over its choices as they come."""

from collections import defaultdict
from dataclasses import dataclass

from mlxd.types import FinishReason, Timings, Usage
from mlxd.wire.events import Delta, Finished, RequestEvent, Started

_NOTHING = Usage(prompt_tokens=0, completion_tokens=0)


@dataclass
class _Choice:
    """What is known of one choice."""

    started: Started | None = None
    tokens: int = 0
    finished: Finished | None = None

    @property
    def usage(self) -> Usage:
        if self.finished is not None:
            return self.finished.usage
        if self.started is None:
            return Usage(prompt_tokens=0, completion_tokens=self.tokens)
        return Usage(prompt_tokens=self.started.prompt_tokens, completion_tokens=self.tokens, cached_tokens=self.started.cached_tokens)


class Tally:
    """A count of the tokens of so many ``choices``. A prompt counts once, though ``per_prompt`` of them are its."""

    def __init__(self, choices: int = 1, per_prompt: int = 1) -> None:
        self.tokens = 0  # generated so far, of all choices
        self.started: Started | None = None  # of the choice that started first
        self._per_prompt = per_prompt
        self._unfinished = choices
        self._choices: dict[int, _Choice] = defaultdict(_Choice)  # of which something was heard
        self._first_to_speak = 0

    def take(self, choice: int, event: RequestEvent) -> Usage:
        """Takes in what the worker said of a choice, and returns which tokens are known to be used by it."""
        known = self._choices[choice]
        match event:
            case Started():
                more = self._start(choice, event)
            case Delta():
                more = Usage(prompt_tokens=0, completion_tokens=event.tokens)
            case Finished():
                more = Usage(prompt_tokens=0, completion_tokens=max(event.tokens, event.usage.completion_tokens - known.tokens))
            case _:
                more = _NOTHING
        if isinstance(event, Delta | Finished):
            if not self.tokens:
                self._first_to_speak = choice
            self.tokens += event.tokens
            known.tokens += event.tokens
        if isinstance(event, Finished):
            known.finished = event
            self._unfinished -= 1
        return more

    def _start(self, choice: int, event: Started) -> Usage:
        """Returns the tokens of the prompt, if none of its other choices has had them."""
        prompt = choice // self._per_prompt
        is_known = any(known.started for other, known in self._choices.items() if other // self._per_prompt == prompt)
        self.started = self.started or event
        self._choices[choice].started = event
        if is_known:
            return _NOTHING
        return Usage(prompt_tokens=event.prompt_tokens, cached_tokens=event.cached_tokens, completion_tokens=0)

    @property
    def usage(self) -> Usage | None:
        """Returns the sum so far; None before anything was heard. Of a prompt's tokens, those count as cached that its first choice found,
        not those that the choices share.
        """
        if not self._choices:
            return None
        by_prompt: dict[int, list[Usage]] = defaultdict(list)
        for choice, known in self._choices.items():
            by_prompt[choice // self._per_prompt].append(known.usage)
        prompts = list(by_prompt.values())
        return Usage(
            prompt_tokens=sum(max(usage.prompt_tokens for usage in choices) for choices in prompts),
            completion_tokens=sum(usage.completion_tokens for choices in prompts for usage in choices),
            cached_tokens=sum(min(usage.cached_tokens for usage in choices) for choices in prompts),
            reasoning_tokens=sum(usage.reasoning_tokens for choices in prompts for usage in choices),
            accepted_tokens=sum(usage.accepted_tokens for choices in prompts for usage in choices),
            rejected_tokens=sum(usage.rejected_tokens for choices in prompts for usage in choices),
        )

    @property
    def longest(self) -> int:
        """Returns the tokens of the longest choice."""
        return max((known.usage.completion_tokens for known in self._choices.values()), default=0)

    @property
    def reasons(self) -> tuple[FinishReason, ...]:
        """Returns why the choices ended, in their order; nothing before all have."""
        return tuple(end.reason for end in self._ends)

    @property
    def timings(self) -> Timings | None:
        """Returns the times of the request once it is over: queue and prompt of the choice that spoke first, and from there to the end of
        the last one.
        """
        ends = self._ends
        if len(ends) < 2:
            return ends[0].timings if ends else None
        lead = ends[self._first_to_speak].timings
        last = max(_seconds(end.timings) for end in ends)
        return Timings(queue=lead.queue, prefill=lead.prefill, decode=max(0.0, last - lead.queue - lead.prefill))

    @property
    def _ends(self) -> list[Finished]:
        if self._unfinished:
            return []
        return [known.finished for _, known in sorted(self._choices.items()) if known.finished is not None]


def _seconds(timings: Timings) -> float:
    return timings.queue + timings.prefill + timings.decode
