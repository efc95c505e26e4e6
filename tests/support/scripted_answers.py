"""Answers that a worker gives by the script of a test: the parts of each of its events."""

from mlxd.types import FinishReason, Timings, Usage
from mlxd.wire.events import Delta, Finished
from mlxd.wire.logprobs import Candidate, TokenLogprobs
from mlxd.wire.parts import ToolCallArguments, ToolCallBegun

CALL_F = [ToolCallBegun(index=0, id="call_a", name="f"), ToolCallArguments(index=0, text='{"a":'), ToolCallArguments(index=0, text=" 1}")]
CALL_G = [ToolCallBegun(index=1, id="call_b", name="g"), ToolCallArguments(index=1, text="{}")]


TIMINGS = Timings(queue=0.1, prefill=0.2, decode=0.3)


def token(number, top=()):
    candidates = [Candidate(id=one, text="\ufffd", raw=b"\xf0\x9f", logprob=-2.0) for one in top]
    return TokenLogprobs(id=number, text=f"t{number}", raw=f"t{number}".encode(), logprob=-0.5, top=candidates)


def script(*steps, reason=FinishReason.STOP, at_end=(), error=None, reasoning_tokens=0, cached_tokens=0, **end):
    """Plays a worker: each step is the parts of one delta; with ``error``, it is lost after them."""

    def play(request):
        request.started(cached_tokens=cached_tokens)
        identity, logprobs = request.generate.id, request.generate.output.logprobs is not None
        for number, parts in enumerate(steps):
            tokens = [token(number, top=[9])] if logprobs else []
            request.stream.push(Delta(id=identity, parts=list(parts), tokens=1, logprobs=tokens))
        if error is not None:
            request.lose(error)
            return
        usage = Usage(prompt_tokens=7, completion_tokens=len(steps), cached_tokens=cached_tokens, reasoning_tokens=reasoning_tokens)
        last = [token(len(steps))] if logprobs else []
        request.stream.push(
            Finished(id=identity, parts=list(at_end), tokens=0, reason=reason, usage=usage, timings=TIMINGS, logprobs=last, **end)
        )

    return play
