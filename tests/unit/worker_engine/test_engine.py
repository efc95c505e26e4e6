import pytest

from mlxd.errors import ContextLengthError, GenerationError
from mlxd.types import CacheOutcome, FinishReason, MemoryFigures, SamplingParams
from mlxd.worker.engine.engine import Engine
from mlxd.worker.engine.events import RequestEnded, RequestFailed, RequestStarted, TokenGenerated
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.runner import PrefixFound, PromptComputed, TokenSampled

END = 99


class FakeRunner:
    """Plays a script of progress for each request; an exception in it is raised, a callable is called."""

    cache_entries = 3

    def __init__(self, **scripts):
        self.scripts = scripts
        self.closed = []
        self.kv = 0

    def run(self, request):
        try:
            for item in self.scripts[request.id]:
                if request.aborted:
                    return
                if isinstance(item, Exception):
                    raise item
                if callable(item):
                    item()
                else:
                    self.kv += 1
                    yield item
        finally:
            self.closed.append(request.id)

    def memory(self):
        return MemoryFigures(kv=self.kv)


def found(cached=0):
    return PrefixFound(cached, CacheOutcome.MISS)


def token(value):
    return TokenSampled(value, is_end=value == END)


def play(runner, *ids, max_tokens=10, on_emit=lambda _output: None):
    """Run all requests to the end; everything emitted."""
    queue = RequestQueue(len(ids))
    for name in ids:
        queue.announce(name)
        queue.put(EngineRequest(name, tokens=[1, 2, 3], max_tokens=max_tokens, sampling=SamplingParams()))
    outputs = []

    def emit(output):
        outputs.append(output)
        on_emit(output)
        if any(isinstance(event, RequestEnded | RequestFailed) and event.id == ids[-1] for event in output.events):
            queue.close()

    engine = Engine(runner, queue, emit)
    runner.engine, runner.queue = engine, queue
    engine.run()
    return outputs


def events(outputs, kind):
    return [event for output in outputs for event in output.events if isinstance(event, kind)]


def test_one_request_from_start_to_end():
    outputs = play(FakeRunner(a=[found(1), PromptComputed(2), token(7), token(END)]), "a")
    assert events(outputs, RequestStarted) == [RequestStarted("a", 3, 1, CacheOutcome.MISS)]
    assert [event.token for event in events(outputs, TokenGenerated)] == [7, END]
    assert [event.reason for event in events(outputs, RequestEnded)] == [FinishReason.STOP]
    assert outputs[0].stats is None
    assert [(output.stats.tokens, output.stats.rows) for output in outputs[1:]] == [(2, 1), (1, 1), (1, 1)]


def test_inter_token_time_begins_with_the_second_token():
    outputs = play(FakeRunner(a=[found(), token(1), token(2), token(END)]), "a")
    gaps = [output.stats.inter_token for output in outputs[1:]]
    assert gaps[0] is None
    assert all(gap is not None and gap >= 0 for gap in gaps[1:])


def test_max_tokens_ends_with_length():
    outputs = play(FakeRunner(a=[found(), token(1), token(2), token(3)]), "a", max_tokens=2)
    assert len(events(outputs, TokenGenerated)) == 2
    assert [event.reason for event in events(outputs, RequestEnded)] == [FinishReason.LENGTH]


def test_an_end_token_at_the_limit_is_a_stop():
    outputs = play(FakeRunner(a=[found(), token(END)]), "a", max_tokens=1)
    assert [event.reason for event in events(outputs, RequestEnded)] == [FinishReason.STOP]


@pytest.mark.parametrize("script", [[RuntimeError("boom")], [found(), RuntimeError("boom")], [found(), token(1), RuntimeError("boom")]])
def test_a_fault_ends_its_request_and_no_other(script):
    outputs = play(FakeRunner(bad=script, good=[found(), token(END)]), "bad", "good")
    (failed,) = events(outputs, RequestFailed)
    assert failed.id == "bad"
    assert isinstance(failed.error, GenerationError)
    assert "boom" in failed.error.message
    assert [event.id for event in events(outputs, RequestEnded)] == ["good"]


def test_a_typed_error_keeps_its_type():
    (failed,) = events(play(FakeRunner(a=[ContextLengthError("too long")]), "a"), RequestFailed)
    assert isinstance(failed.error, ContextLengthError)


def test_a_model_that_just_stops_is_a_failure_not_a_hang():
    assert len(events(play(FakeRunner(a=[found()]), "a"), RequestFailed)) == 1


@pytest.mark.parametrize("when", [0, 1, 2])
def test_an_aborted_request_ends_in_silence_and_the_next_runs(when):
    runner = FakeRunner(good=[found(), token(END)])
    script = [found(), PromptComputed(1), token(1), token(2)]
    script.insert(when + 1, lambda: runner.queue.withdraw("a"))
    runner.scripts["a"] = script
    outputs = play(runner, "a", "good")
    assert [event.id for event in events(outputs, RequestEnded) + events(outputs, RequestFailed)] == ["good"]
    assert len(events(outputs[: outputs.index(next(o for o in outputs if o.events and o.events[0].id == "good"))], TokenGenerated)) <= 1


def test_who_hears_of_the_end_finds_the_place_free_and_the_cache_kept():
    """Else a client that sends its next request at once is refused where max_queue is 0."""
    runner = FakeRunner(a=[found(), token(END), token(1)])
    seen = []

    def on_emit(output):
        if any(isinstance(event, RequestEnded) for event in output.events):
            seen.append((runner.queue.running, list(runner.closed)))

    play(runner, "a", on_emit=on_emit)
    assert seen == [(0, ["a"])]


def test_who_hears_of_a_failure_finds_the_place_free():
    runner = FakeRunner(a=[RuntimeError("boom")])
    seen = []
    play(runner, "a", on_emit=lambda _output: seen.append(runner.queue.running))
    assert seen == [0]


def test_memory_figures_follow_the_steps_of_a_running_request():
    runner = FakeRunner(a=[found(), PromptComputed(2), token(1), token(END)])
    seen = []
    play(runner, "a", on_emit=lambda _output: seen.append(runner.engine.memory.kv))
    assert seen[1:] == sorted(set(seen[1:]))
    assert runner.engine.cache_entries == 3


def test_steps_are_counted_and_the_engine_is_idle_afterwards():
    runner = FakeRunner(a=[found(), PromptComputed(2), token(1), token(END)])
    busy = []
    runner.scripts["a"].insert(1, lambda: busy.append(runner.engine.busy_seconds))
    play(runner, "a")
    assert runner.engine.steps == 3
    assert busy[0] > 0
    assert runner.engine.busy_seconds == 0


def test_timings_add_up():
    outputs = play(FakeRunner(a=[found(), token(1), token(END)]), "a")
    (ended,) = events(outputs, RequestEnded)
    assert min(ended.timings.queue, ended.timings.prefill, ended.timings.decode) >= 0
