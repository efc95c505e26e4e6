import pytest

from mlxd.client.hang_watch import LOADING_SILENCE, HangWatch
from mlxd.types import MemoryFigures, ResolvedLimits
from mlxd.wire.messages import CacheEvicted, Events, Heartbeat, Progress, Ready, Reconfigured, StepStats

READY = Ready(
    runner="simple", runner_reason="", device="cpu", dtype="float32", context_length=1, vocab_size=1,
    weight_bytes=0, limits=ResolvedLimits(cache_bytes=0), load_seconds=0, versions={},
)  # fmt: skip


def heartbeat(busy=0.0, steps=0):
    return Heartbeat(running=0, waiting=0, steps=steps, busy_seconds=busy, memory=MemoryFigures())


def step():
    return Events(events=[], step=StepStats(seconds=1, tokens=1, rows=1))


@pytest.fixture
def watch():
    watch = HangWatch(hang_timeout=10, load_timeout=100)
    watch.observe(READY)
    return watch


def pass_(watch, seconds, *, unread=0, taken=0, questions=0):
    """Second by second; the first verdict."""
    for _ in range(seconds):
        if (verdict := watch.tick(1, unread=unread, taken=taken, questions=questions)) is not None:
            return verdict
    return None


def test_silence(watch):
    assert pass_(watch, 10) is None
    assert pass_(watch, 1) == "silent for 10 s"


def test_any_frame_breaks_the_silence(watch):
    for frame in (heartbeat(), Events(events=[]), step()) * 5:
        assert pass_(watch, 9) is None
        watch.observe(frame)


def test_a_step_too_long(watch):
    watch.observe(heartbeat(busy=0, steps=3))
    verdicts = []
    for second in range(1, 13):
        verdicts.append(pass_(watch, 1))
        watch.observe(heartbeat(busy=second, steps=3))
    assert [verdict for verdict in verdicts if verdict] == ["inside one step for 11 s"]


def test_steps_that_end_are_no_hang(watch):
    for number in range(50):
        watch.observe(heartbeat(busy=0.9, steps=number))
        assert pass_(watch, 1) is None


def test_a_step_event_ends_a_long_step(watch):
    for second in range(1, 10):
        watch.observe(heartbeat(busy=second, steps=3))
        assert pass_(watch, 1) is None
    watch.observe(step())
    watch.observe(heartbeat(busy=0.5, steps=4))
    assert pass_(watch, 5) is None


def test_a_machine_that_slept_is_no_hang(watch):
    """The worker's clock leapt by an hour; ours did not tick."""
    watch.observe(heartbeat(busy=0.5, steps=3))
    assert pass_(watch, 1) is None
    watch.observe(heartbeat(busy=3600, steps=3))
    assert pass_(watch, 1) is None
    watch.observe(heartbeat(busy=0, steps=4))
    assert pass_(watch, 5) is None


def test_busy_before_ready_is_loading():
    watch = HangWatch(hang_timeout=2, load_timeout=100)
    for second in range(50):
        watch.observe(heartbeat(busy=second))
        assert pass_(watch, 1) is None


def test_silence_while_loading_gets_more_patience():
    watch = HangWatch(hang_timeout=2, load_timeout=1000)
    assert pass_(watch, int(LOADING_SILENCE)) is None
    assert pass_(watch, 1) == "silent for 60 s"


def test_only_real_progress_extends_a_load():
    watch = HangWatch(hang_timeout=10, load_timeout=20)
    for done in range(4):
        watch.observe(Progress(stage="fetching", done=done, total=10))
        for _ in range(19):
            watch.observe(heartbeat())
            assert pass_(watch, 1) is None
    for _ in range(2):
        watch.observe(Progress(stage="fetching", done=3, total=10))
        verdict = pass_(watch, 1)
    assert verdict == "no progress for 20 s while fetching"


def test_a_load_that_is_not_let_go_on_does_not_stall():
    watch = HangWatch(hang_timeout=10, load_timeout=20)
    for _ in range(100):
        watch.observe(heartbeat())
        watch.wait_for_permit()
        assert pass_(watch, 1) is None
    for _ in range(20):
        watch.observe(heartbeat())
        verdict = pass_(watch, 1)
    assert verdict == "no progress for 20 s while starting"


def test_a_load_that_never_begins():
    watch = HangWatch(hang_timeout=10, load_timeout=20)
    assert pass_(watch, 21) == "no progress for 20 s while starting"


def test_not_reading(watch):
    for _ in range(11):  # the first of them sees bytes taken
        watch.observe(heartbeat())
        assert watch.tick(1, unread=5, taken=100) is None
    watch.observe(heartbeat())
    assert watch.tick(1, unread=5, taken=100) == "did not read its socket for 10 s"


def test_reading_slowly_is_reading(watch):
    for second in range(50):
        watch.observe(heartbeat())
        assert watch.tick(1, unread=5, taken=100 + second) is None


def test_timeouts_are_live(watch):
    watch.hang_timeout = 20
    assert pass_(watch, 20) is None
    assert pass_(watch, 1) is not None


def ask(watch, seconds, questions=1):
    """Heartbeats go on meanwhile, each second."""
    verdicts = []
    for _ in range(seconds):
        verdicts.append(pass_(watch, 1, questions=questions))
        watch.observe(heartbeat())
    return next((verdict for verdict in verdicts if verdict), None)


def test_a_question_without_an_answer(watch):
    assert ask(watch, 10) is None
    assert ask(watch, 1) == "did not answer for 10 s"


@pytest.mark.parametrize("answer", [Reconfigured(limits=ResolvedLimits(cache_bytes=0)), CacheEvicted(entries=0, bytes=0)])
def test_answers_are_no_hang_however_many_questions_are_left(watch, answer):
    for _ in range(5):
        assert ask(watch, 9, questions=3) is None
        watch.observe(answer)


def test_without_questions_no_answer_is_missed(watch):
    assert ask(watch, 9) is None
    assert ask(watch, 1, questions=0) is None
    assert ask(watch, 9) is None
