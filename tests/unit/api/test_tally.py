"""What one request used, of all its choices."""

from mlxd.api.tally import Tally
from mlxd.types import CacheOutcome, FinishReason, Timings, Usage
from mlxd.wire.events import Delta, Finished, Started


def started(prompt=10, cached=0):
    return Started(id="", prompt_tokens=prompt, cached_tokens=cached, cache=CacheOutcome.MISS)


def delta(tokens=1):
    return Delta(id="", parts=[], tokens=tokens)


def finished(tokens, prompt=10, cached=0, reasoning=0, *, timings=(0, 0, 0), reason=FinishReason.STOP):
    usage = Usage(prompt_tokens=prompt, completion_tokens=tokens, cached_tokens=cached, reasoning_tokens=reasoning)
    queue, prefill, decode = timings
    return Finished(id="", parts=[], tokens=0, reason=reason, usage=usage, timings=Timings(queue=queue, prefill=prefill, decode=decode))


def taken(tally, *events):
    for choice, event in events:
        tally.take(choice, event)
    return tally


def test_nothing_is_known_before_anything_is_heard():
    tally = Tally(2)
    assert (tally.usage, tally.started, tally.timings, tally.reasons, tally.longest) == (None, None, None, (), 0)


def test_while_it_runs():
    tally = taken(Tally(2, per_prompt=2), (0, started(10, 4)), (0, delta(3)), (1, started(10, 8)), (1, delta()))
    assert tally.usage == Usage(prompt_tokens=10, completion_tokens=4, cached_tokens=4)
    assert (tally.reasons, tally.timings) == ((), None)


def test_a_prompt_of_several_choices_counts_once_and_what_they_share_is_not_cached():
    tally = taken(Tally(2, per_prompt=2), (0, started()), (1, started(10, 8)), (1, finished(5, cached=8, reasoning=2)), (0, finished(3)))
    assert tally.usage == Usage(prompt_tokens=10, completion_tokens=8, cached_tokens=0, reasoning_tokens=2)
    assert tally.longest == 5


def test_prompts_of_a_list_are_summed():
    tally = taken(Tally(2), (0, started(10, 2)), (1, started(6, 3)), (1, finished(5, 6, 3)), (0, finished(1, 10, 2)))
    assert tally.usage == Usage(prompt_tokens=16, completion_tokens=6, cached_tokens=5)


def test_reasons_are_in_the_order_of_the_choices_once_all_are_over():
    tally = taken(Tally(2), (0, started()), (1, started()), (1, finished(5, reason=FinishReason.LENGTH)))
    assert tally.reasons == ()
    assert taken(tally, (0, finished(5))).reasons == (FinishReason.STOP, FinishReason.LENGTH)


def test_times_are_those_of_who_spoke_first_and_of_who_ended_last():
    tally = taken(Tally(2), (0, started()), (1, started()), (1, delta()), (0, delta()))
    taken(tally, (1, finished(2, timings=(1.0, 2.0, 1.0))), (0, finished(9, timings=(2.5, 0.5, 5.0))))
    assert tally.timings == Timings(queue=1.0, prefill=2.0, decode=5.0)


def test_what_each_event_tells_comes_to_what_was_used():
    events = [(0, started(10, 4)), (1, started(10, 8)), (0, delta(2)), (2, started(7)), (1, delta(3)), (3, started(7, 6))]
    events += [(0, finished(5, cached=4)), (1, finished(3, cached=8)), (2, finished(0, 7)), (3, finished(1, 7, 6))]
    tally, told = Tally(4, per_prompt=2), [0, 0]
    for choice, event in events:
        more = tally.take(choice, event)
        told = [told[0] + more.prompt_tokens, told[1] + more.completion_tokens]
        assert min(more.prompt_tokens, more.completion_tokens, more.cached_tokens) >= 0
    assert told == [tally.usage.prompt_tokens, tally.usage.completion_tokens] == [17, 9]
