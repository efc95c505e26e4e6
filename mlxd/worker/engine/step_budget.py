"""How many prompt tokens a step may take. It is pure: observed steps go in, a budget comes out.

Beside streams, prompts add ``target_itl`` to a step, and never less than ``_SHARE`` of what the streams themselves take: so prompts have
half of every step, however slow the device, and no stream is slowed to less than half its pace by more than the target.
With nobody to disturb a chunk is as large as is efficient, but takes no longer than ``LONGEST``.
"""

from mlxd.types import Limits
from mlxd.worker.engine.step_cost import StepCost, StepShape

LEAST = 16  # tokens: a prompt always goes on, by no less than is worth a call
LONGEST = 1.0  # seconds of prompts in one step: so long a newcomer, a cancellation or another command waits at most
ENCODING = 0.5  # of the time for prompts, that is for encoding what they show while there is something to encode
_SHARE = 1.1  # half of a step, and a little more, for now and then there is one without prompts
_FIRST = 32  # tokens of the first chunk on a device of which nothing is known
_GROWTH = 4  # times the largest chunk seen so far, and the next one is no larger
_MULTIPLE = 16  # tokens: chunks of many sizes would need buffers of as many
_MEASURE_EVERY = 16  # steps with prompts and streams, and one is without prompts: else nobody knows what the streams take alone
_MEASURE_AGAIN = 4  # the same, after one that took ``_SURPRISE`` more or less than expected
_SURPRISE = 0.5
_SHORTEST = 1e-6  # seconds: no step takes less, whatever clocks say


class StepBudget:
    """The budget of steps. ``largest`` is the chunk size, in tokens, beyond which nothing is gained."""

    def __init__(self, *, largest: int) -> None:
        self.largest = largest
        self._cost = StepCost()
        self._tried = _FIRST // _GROWTH  # tokens of the largest chunk observed
        self._pace = 0.0  # seconds of the largest chunk observed that was alone in its step, for each of its tokens
        self._paced = 0  # how many they were
        self._unmeasured = 0  # steps since the last one of streams alone
        self._is_doubted = False  # that last one, which surprised: so it was not learned from

    def observe(self, seconds: float, shape: StepShape) -> None:
        """Learns from one finished step. Streams alone that surprise are measured once more before they count: prompts have as much as
        they take, and with a device that something else held up for a moment that would be far too much.
        """
        seconds = max(_SHORTEST, seconds)
        if shape.decode_rows and not shape.prefill_tokens:
            expected, was_doubted = self._cost.seconds(shape), self._is_doubted
            surprises = abs(seconds - expected) >= _SURPRISE * expected
            self._unmeasured = _MEASURE_EVERY - _MEASURE_AGAIN if surprises else 0
            self._is_doubted = surprises and not was_doubted
            if self._is_doubted:
                return
        self._cost.observe(seconds, shape)
        self._tried = max(self._tried, shape.prefill_tokens)
        if shape.prefill_tokens and not shape.decode_rows and shape.prefill_tokens >= self._paced:
            self._pace, self._paced = seconds / shape.prefill_tokens, shape.prefill_tokens
        self._unmeasured += bool(shape.decode_rows and shape.prefill_tokens)

    def seconds(self, shape: StepShape) -> float:
        """Returns the time a step of this shape may well take: what was learned, which follows a surprise from step to step, and no less
        than the tokens of its prompts took in the largest chunk.
        """
        return max(self._cost.seconds(shape), self._pace * shape.prefill_tokens)

    def undisturbed(self, limits: Limits, *, decode_rows: int = 0, share: float = 1.0) -> int:
        """Returns the prompt tokens for the next step when none of its streams is to be protected, where prompts have a ``share`` of it."""
        if limits.step_tokens is not None:
            return self._fixed(limits.step_tokens, decode_rows)
        chunk = self._chunk(share * LONGEST)
        if chunk > self._paced > 0:  # of which nothing is known for sure
            chunk = min(chunk, max(LEAST, self._paced, int(share * LONGEST / self._pace)))
        return chunk

    def beside(self, limits: Limits, *, decode_rows: int, guesses: int = 0, share: float = 1.0) -> int:
        """Returns the prompt tokens for the next step beside so many streams and guesses, where prompts have a ``share`` of what is added
        to these; 0 for one that shows what they take alone.
        """
        if limits.step_tokens is not None:
            return self._fixed(limits.step_tokens, decode_rows + guesses)
        if self._unmeasured >= _MEASURE_EVERY:
            return 0
        return self._chunk(share * self._added(limits, StepShape(decode_rows=decode_rows, guesses=guesses)))

    def encoding(self, limits: Limits, shape: StepShape) -> float:
        """Returns the seconds for which pictures may be encoded in a step of this shape: what its prompts leave, and half at least of what
        they might have without.
        """
        streams = StepShape(decode_rows=shape.decode_rows, guesses=shape.guesses)
        whole = self._added(limits, streams) if shape.decode_rows else LONGEST
        return max(ENCODING * whole, whole - max(0.0, self._cost.seconds(shape) - self._cost.seconds(streams)))

    def _added(self, limits: Limits, streams: StepShape) -> float:
        """Returns the seconds that may be added to a step of these streams."""
        return max(min(limits.target_itl, LONGEST), _SHARE * self._cost.seconds(streams))

    def _chunk(self, seconds: float) -> int:
        """Returns how many tokens take so long, as far as the device is known."""
        tokens = min(self.largest, _GROWTH * self._tried, self._within(seconds))
        return tokens if tokens < 4 * _MULTIPLE else tokens - tokens % _MULTIPLE

    def _fixed(self, step_tokens: int, decode_rows: int) -> int:
        """Returns what streams leave of a fixed budget, and always a small share, so that many streams cannot starve prompts."""
        return max(1, min(self._within(LONGEST), max(step_tokens // 8, step_tokens - decode_rows)))

    def _within(self, seconds: float) -> int:
        """Returns how many tokens of one prompt take so long."""
        return max(LEAST, int((seconds - self._cost.prompt) / self._cost.token))
