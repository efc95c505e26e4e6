"""The engine over a runner that plays a script of reports."""

import threading

import pytest

from mlxd.errors import CacheTooSmallError, GenerationError
from mlxd.types import CacheFigures, CacheOutcome, EntryFigures, FinishReason, Limits, MemoryFigures, SamplingParams
from mlxd.wire.events import Failed, Started
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine import engine as engine_module
from mlxd.worker.engine.engine import Engine
from mlxd.worker.engine.events import Ended
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.runner import StepReport, as_failure
from mlxd.worker.engine.sampled import Sampled, SampledToken

END = 99


class FakeRunner:
    """Plays its reports, one a step. A callable among them is called first. ``refuses``: ids that can never run."""

    capacity = 3

    def __init__(self, *reports, refuses=()):
        self.reports = list(reports)
        self.refuses = refuses
        self.added, self.aborted, self.limits = [], [], None
        self.given_back = 0

    def add(self, request):
        if request.id in self.refuses:
            raise CacheTooSmallError("too long")
        self.added.append(request.id)

    def uncached(self, request):
        return len(request.tokens)

    def abort(self, request_id):
        self.aborted.append(request_id)

    @property
    def is_idle(self):
        return not self.reports

    @property
    def rest(self):
        return None if self.is_idle else 0.0

    def step(self):
        report = self.reports.pop(0)
        if callable(report):
            report()
            return self.step()
        return report

    def reconfigure(self, limits):
        self.limits = limits

    def give_back(self):
        self.given_back += 1

    def close(self):
        pass

    def memory(self):
        return MemoryFigures(kv=len(self.reports))

    def cache(self):
        return CacheFigures(kept=EntryFigures(count=len(self.reports)))


def begin(name, cached=0, cache=None):
    return Started(id=name, prompt_tokens=3, cached_tokens=cached, cache=cache)


def started(name, cached=0):
    return StepReport(started=[begin(name, cached, CacheOutcome.MISS)])


def sampled(name, *ids):
    return Sampled(name, tuple(map(SampledToken, ids)), is_end=ids[-1] == END)


def token(name, *ids, **fields):
    return StepReport(sampled=[sampled(name, *ids)], tokens=1, rows=1, **fields)


class Rig:
    """An engine stepped by hand until its runner has nothing more to play."""

    def __init__(self, *reports, ids=("a",), **options):
        self.runner = FakeRunner(*reports, **options)
        self.queue = RequestQueue(len(ids), capacity=1)
        self.outputs = []
        self.on_emit = lambda _: None
        self.engine = Engine(self.runner, self.queue, self.take)
        for name in ids:
            self.queue.announce(name)
            self.queue.put(EngineRequest(name, EncodedPrompt([1, 2, 3], 10, CacheRoot(model="")), SamplingParams()))

    def take(self, output):
        self.outputs.append(output)
        self.on_emit(output)

    def play(self):
        self.engine.step()
        while not self.runner.is_idle:
            self.engine.step()
        return self

    def events(self, kind):
        return [event for output in self.outputs for event in output.events if isinstance(event, kind)]

    @property
    def stats(self):
        return [output.stats for output in self.outputs if output.stats is not None]


def test_one_request_from_start_to_end():
    rig = Rig(started("a", 1), token("a", 7), token("a", END, ended={"a": FinishReason.STOP})).play()
    assert rig.events(Started) == [begin("a", 1, CacheOutcome.MISS)]
    assert rig.events(Sampled) == [sampled("a", 7), sampled("a", END)]
    assert [event.reason for event in rig.events(Ended)] == [FinishReason.STOP]
    assert [(stats.tokens, stats.rows) for stats in rig.stats] == [(1, 1), (1, 1)]
    assert (rig.queue.waiting, rig.queue.running) == (0, 0)


def test_inter_token_time_begins_with_the_second_token_and_is_that_of_the_stream_that_waited_longest():
    both = StepReport(sampled=[sampled("a", 1), sampled("b", 1)], tokens=2, rows=2)
    rig = Rig(StepReport(started=[begin("a"), begin("b")]), token("a", 1), token("b", 1), both, ids=("a", "b")).play()
    gaps = [stats.inter_token for stats in rig.stats]
    assert gaps[:2] == [None, None]
    assert gaps[2] > 0


def test_a_step_that_computed_nothing_has_no_statistics():
    rig = Rig(started("a"), StepReport()).play()
    assert rig.stats == []
    assert rig.engine.steps == 0


def test_tokens_of_prompts_are_told_from_those_that_streams_go_on_with():
    mixed = StepReport(sampled=[sampled("a", 1), sampled("b", 1)], tokens=9, rows=2)
    rig = Rig(StepReport(started=[begin("a"), begin("b")]), token("a", 1), mixed, ids=("a", "b")).play()
    assert [(stats.prompt_tokens, stats.generated_tokens) for stats in rig.stats] == [(1, 1), (8, 2)]


def test_a_step_may_give_several_tokens_of_one_sequence():
    rig = Rig(started("a"), token("a", 1, 2, 3), token("a", 4, END, ended={"a": FinishReason.STOP})).play()
    assert [event.with_text for event in rig.events(Sampled)] == [tuple(map(SampledToken, (1, 2, 3))), (SampledToken(4),)]
    assert [stats.generated_tokens for stats in rig.stats] == [3, 2]
    assert set(rig.outputs[-1].timings) == {"a"}


def test_tokens_that_come_late_are_counted_where_nothing_else_was_computed():
    rig = Rig(started("a"), token("a", 1), StepReport(sampled=[sampled("a", 2)])).play()
    assert [(stats.prompt_tokens, stats.generated_tokens) for stats in rig.stats] == [(1, 1), (0, 1)]


def test_statistics_are_those_of_the_report():
    rig = Rig(started("a"), token("a", 1, seconds=0.25, preemptions=2, evicted_blocks=3)).play()
    (stats,) = rig.stats
    assert (stats.seconds, stats.preemptions, stats.evicted_blocks) == (0.25, 2, 3)


def test_what_fails_alone_ends_with_its_error():
    error = as_failure(RuntimeError("boom"))
    rig = Rig(started("a"), StepReport(failed={"a": error})).play()
    (failed,) = rig.events(Failed)
    assert failed.error.code == GenerationError.code
    assert "boom" in failed.error.message
    assert rig.queue.running == 0


def test_a_typed_error_keeps_its_type():
    error = CacheTooSmallError("too long")
    assert as_failure(error) is error


def test_what_can_never_run_is_refused_and_the_others_go_on():
    rig = Rig(started("good"), token("good", 1), ids=("bad", "good"), refuses=("bad",)).play()
    assert [(event.id, event.error.code) for event in rig.events(Failed)] == [("bad", CacheTooSmallError.code)]
    assert rig.runner.added == ["good"]
    assert (rig.queue.waiting, rig.queue.running) == (0, 1)


def test_an_aborted_request_is_told_to_the_runner_once_and_to_nobody_else():
    rig = Rig(started("a"), token("a", 1))
    rig.runner.reports += [lambda: rig.queue.withdraw("a"), token("a", 2)]
    rig.engine.step()
    rig.engine.step()
    rig.engine.step()
    assert rig.runner.aborted == []  # it was withdrawn while the step ran
    rig.runner.reports = [StepReport()]
    rig.engine.step()
    assert rig.runner.aborted == ["a"]
    assert not rig.events(Ended) + rig.events(Failed)
    assert rig.queue.running == 0


def test_a_request_withdrawn_while_it_waits_is_aborted():
    rig = Rig(StepReport(), StepReport(), StepReport())
    rig.engine.step()
    rig.queue.withdraw("a")
    rig.engine.step()
    assert rig.runner.aborted == ["a"]
    assert rig.queue.waiting == 0


@pytest.mark.parametrize("last", [StepReport(ended={"a": FinishReason.LENGTH}), StepReport(failed={"a": GenerationError("x")})])
def test_who_hears_of_the_end_finds_the_place_free(last):
    """Else a client that sends its next request at once is refused where max_queue is 0."""
    seen = []
    rig = Rig(started("a"), last)
    rig.on_emit = lambda output: seen.append(rig.queue.running) if isinstance(output.events[-1], Ended | Failed) else None
    rig.play()
    assert seen == [0]


def test_figures_follow_the_steps():
    seen = []
    rig = Rig(started("a"), token("a", 1), token("a", 2))
    rig.on_emit = lambda _: seen.append((rig.engine.memory.kv, rig.engine.cache.kept.count))
    rig.play()
    assert seen == [(2, 2), (1, 1), (0, 0)]


def test_the_engine_is_busy_in_a_step_and_only_then():
    busy = []
    rig = Rig(started("a"))
    rig.runner.reports += [lambda: busy.append(rig.engine.busy_seconds), token("a", 1)]
    rig.play()
    assert busy[0] > 0
    assert rig.engine.busy_seconds == 0
    assert rig.engine.steps == 1


def test_timings_add_up():
    rig = Rig(started("a"), token("a", 1), token("a", END, ended={"a": FinishReason.STOP})).play()
    timings = rig.outputs[-1].timings["a"]
    assert min(timings.queue, timings.prefill, timings.decode) >= 0


def test_commands_run_between_steps_on_the_engine_s_thread():
    rig = Rig(started("a"))
    limits = Limits(max_sequences=9)
    rig.queue.call(lambda: rig.engine.reconfigure(limits))
    rig.engine.step()
    assert rig.runner.limits is limits
    assert rig.engine.capacity == 3


class Device:
    """What is kept of what was freed."""

    def __init__(self):
        self.released = 0

    def tidy(self, seconds):
        pass

    def release(self):
        self.released += 1


@pytest.fixture
def impatient(monkeypatch):
    """An engine that gives back what lies idle as soon as it has nothing to do."""
    monkeypatch.setattr(engine_module, "_IDLE", 0.0)


@pytest.mark.usefixtures("impatient")
def test_what_lies_idle_is_given_back_once_when_nothing_was_computed_for_a_while():
    rig, device = Rig(started("a"), token("a", END, ended={"a": FinishReason.STOP})), Device()
    rig.engine._device = device
    for _ in range(2):
        rig.engine.step()
    assert (rig.runner.given_back, device.released) == (0, 0)
    assert rig.engine._rest() == 0.0
    for _ in range(3):
        rig.engine.step()
    assert (rig.runner.given_back, device.released) == (1, 1)
    assert rig.engine._rest() is None
    rig.runner.reports = [StepReport()]
    for _ in range(3):
        rig.engine.step()
    assert (rig.runner.given_back, device.released) == (2, 2)


@pytest.mark.usefixtures("impatient")
def test_an_engine_that_waits_wakes_for_it():
    rig, given_back = Rig(ids=()), threading.Event()
    rig.runner.give_back = given_back.set
    thread = threading.Thread(target=rig.engine.run)
    thread.start()
    assert given_back.wait(10)
    rig.queue.close()
    thread.join(10)


def test_an_engine_that_has_just_computed_something_waits_for_a_while():
    rig = Rig(started("a"), token("a", END, ended={"a": FinishReason.STOP})).play()
    assert 15 < rig.engine._rest() <= 20
    rig.engine.step()
    assert rig.runner.given_back == 0
