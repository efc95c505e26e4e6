import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.errors import QueueFullError
from mlxd.types import SamplingParams
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue


def request(name):
    return EngineRequest(name, tokens=[1], max_tokens=1, sampling=SamplingParams())


def add(queue, *names):
    for name in names:
        queue.announce(name)
        assert queue.put(request(name))


def test_first_come_first_served():
    queue = RequestQueue(8)
    add(queue, "a", "b", "c")
    served = []
    for _ in range(3):
        served.append(queue.take().id)
        queue.finish(served[-1], 1.0)
    assert served == ["a", "b", "c"]


def test_order_of_arrival_is_kept_whatever_is_tokenized_first():
    queue = RequestQueue(8)
    queue.announce("slow")
    add(queue, "fast")
    queue.put(request("slow"))
    assert queue.take().id == "slow"


def test_with_no_queue_one_request_runs_and_the_next_is_refused():
    queue = RequestQueue(0)
    add(queue, "a")
    with pytest.raises(QueueFullError):
        queue.announce("b")
    queue.take()
    with pytest.raises(QueueFullError):
        queue.announce("b")
    queue.finish("a", 1.0)
    queue.announce("b")


def test_a_request_that_is_being_tokenized_counts():
    queue = RequestQueue(1)
    add(queue, "running")
    queue.take()
    queue.announce("tokenizing")
    with pytest.raises(QueueFullError):
        queue.announce("one too many")
    assert (queue.running, queue.waiting) == (1, 1)


def test_withdrawing_makes_room():
    queue = RequestQueue(0)
    queue.announce("a")
    assert queue.withdraw("a")
    queue.announce("b")


def test_withdrawn_while_tokenized_it_is_forgotten():
    queue = RequestQueue(1)
    queue.announce("a")
    queue.withdraw("a")
    assert not queue.put(request("a"))
    add(queue, "b")
    assert queue.take().id == "b"


def test_withdrawing_the_running_one_marks_it():
    queue = RequestQueue(1)
    add(queue, "a")
    running = queue.take()
    assert queue.withdraw("a")
    assert running.aborted
    assert not queue.withdraw("unknown")


def test_retry_after_is_the_average_duration_times_the_position():
    queue = RequestQueue(2)
    for _ in range(60):  # until the moving average has forgotten its first guess
        add(queue, "x")
        queue.take()
        queue.finish("x", 4.0)
    add(queue, "running")
    queue.take()
    add(queue, "a", "b")
    with pytest.raises(QueueFullError, match="try again") as caught:
        queue.announce("c")
    assert caught.value.retry_after == pytest.approx(12.0, abs=0.5)


def test_a_cut_short_request_does_not_move_the_estimate():
    queue = RequestQueue(0)
    before = retry_after(queue)
    queue.finish("x", None)
    assert retry_after(queue) == before


def retry_after(queue):
    add(queue, "x")
    queue.take()
    with pytest.raises(QueueFullError) as caught:
        queue.announce("y")
    return caught.value.retry_after


def test_take_waits_for_a_request_and_close_wakes_it():
    queue = RequestQueue(1)
    taken = []
    thread = threading.Thread(target=lambda: taken.extend([queue.take(), queue.take()]))
    thread.start()
    add(queue, "a")
    queue.close()
    thread.join(30)
    assert not thread.is_alive()
    assert taken[-1] is None


def test_close_aborts_the_running_one():
    queue = RequestQueue(1)
    add(queue, "a")
    running = queue.take()
    queue.close()
    assert running.aborted
    assert queue.take() is None


@given(st.integers(0, 3), st.lists(st.tuples(st.sampled_from("ampwtd"), st.integers(0, 5)), max_size=60))
def test_any_history_keeps_order_and_the_limit_and_loses_nothing(max_queue, history):
    """Against a model in plain lists. ``waiting`` maps id -> tokenized."""
    queue, waiting, running = RequestQueue(max_queue), {}, None
    for step, number in history:
        name = f"r{number}"
        match step:
            case "a" if name not in waiting and name != running:
                if len(waiting) + (running is not None) >= max_queue + 1:
                    with pytest.raises(QueueFullError):
                        queue.announce(name)
                else:
                    queue.announce(name)
                    waiting[name] = False
            case "p":
                assert queue.put(request(name)) == (name in waiting)
                if name in waiting:
                    waiting[name] = True
            case "w":
                assert queue.withdraw(name) == (name in waiting or name == running)
                waiting.pop(name, None)
            case "t" if running is None and waiting and next(iter(waiting.values())):
                running = queue.take().id
                assert running == next(iter(waiting))
                del waiting[running]
            case "d" if running is not None:
                queue.finish(running, 1.0)
                running = None
        assert (queue.waiting, queue.running) == (len(waiting), int(running is not None))
