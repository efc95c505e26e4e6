import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlxd.errors import QueueFullError
from mlxd.types import SamplingParams
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue


def request(name):
    return EngineRequest(name, EncodedPrompt([1], 1, CacheRoot(model="")), SamplingParams())


def add(queue, *names):
    for name in names:
        queue.announce(name)
        assert queue.put(request(name))


def arrive(queue):
    """What the engine takes in; the ids."""
    return [one.id for one in queue.arrivals()]


def start(queue, *names):
    """As the engine does with those it admits."""
    found = {one.id: one for one in queue.arrivals()}
    for name in names:
        queue.started(name)
    return found


def test_requests_are_handed_over_once_in_order():
    queue = RequestQueue(8)
    add(queue, "a", "b")
    assert arrive(queue) == ["a", "b"]
    add(queue, "c")
    assert arrive(queue) == ["c"]
    assert (queue.waiting, queue.running) == (3, 0)
    for name in "abc":
        queue.started(name)
    assert (queue.waiting, queue.running) == (0, 3)


def test_with_no_queue_one_request_runs_and_the_next_is_refused():
    queue = RequestQueue(0)
    add(queue, "a")
    with pytest.raises(QueueFullError):
        queue.announce("b")
    start(queue, "a")
    with pytest.raises(QueueFullError):
        queue.announce("b")
    queue.finish("a", 1.0)
    queue.announce("b")


def test_with_a_larger_capacity_as_many_may_come_at_once():
    queue = RequestQueue(0, capacity=3)
    add(queue, "a", "b", "c")
    with pytest.raises(QueueFullError):
        queue.announce("d")
    queue.capacity = 4
    queue.announce("d")


def test_several_of_one_request_have_room_together_or_not_at_all():
    queue = RequestQueue(2, capacity=1)
    add(queue, "running")
    start(queue, "running")
    with pytest.raises(QueueFullError, match="too many for 3 more"):
        queue.announce("a", behind=2)
    for behind, name in reversed(list(enumerate("ba"))):
        queue.announce(name, behind=behind)
    assert queue.waiting == 2


def test_a_request_that_is_being_tokenized_counts():
    queue = RequestQueue(1)
    add(queue, "running")
    start(queue, "running")
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
    assert arrive(queue) == ["b"]


def test_withdrawn_before_the_engine_looked_it_never_sees_it():
    queue = RequestQueue(1)
    add(queue, "a")
    queue.withdraw("a")
    assert arrive(queue) == []


def test_withdrawing_one_the_engine_has_marks_it():
    queue = RequestQueue(2)
    add(queue, "a", "b")
    found = start(queue, "a")
    assert queue.withdraw("a")
    assert queue.withdraw("b")
    assert found["a"].aborted
    assert found["b"].aborted
    assert not queue.withdraw("unknown")


def test_retry_after_is_the_average_duration_times_the_position():
    queue = RequestQueue(2)
    for _ in range(60):  # until the moving average has forgotten its first guess
        add(queue, "x")
        start(queue, "x")
        queue.finish("x", 4.0)
    add(queue, "running")
    start(queue, "running")
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
    start(queue, "x")
    with pytest.raises(QueueFullError) as caught:
        queue.announce("y")
    return caught.value.retry_after


@pytest.mark.parametrize("wake", [lambda queue: add(queue, "a"), lambda queue: queue.call(lambda: None)])
def test_waiting_for_work_ends_with_a_request_or_a_command(wake):
    queue = RequestQueue(1)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(queue.wait_for_work(None)))
    thread.start()
    wake(queue)
    thread.join(30)
    assert answers == [True]


def test_close_wakes_the_engine_and_aborts_what_runs():
    queue = RequestQueue(1)
    add(queue, "a")
    found = start(queue, "a")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(queue.wait_for_work(None)))
    thread.start()
    queue.close()
    thread.join(30)
    assert answers == [False]
    assert found["a"].aborted


def test_commands_are_taken_once_in_order():
    queue = RequestQueue(1)
    done = []
    for number in range(3):
        queue.call(lambda number=number: done.append(number))
    for command in queue.commands():
        command()
    assert done == [0, 1, 2]
    assert queue.commands() == []


@given(st.integers(0, 3), st.integers(1, 3), st.lists(st.tuples(st.sampled_from("ampwetd"), st.integers(0, 7)), max_size=60))
def test_any_history_keeps_the_limit_and_loses_nothing(max_queue, capacity, history):
    """Against a model in plain lists. ``waiting``: id -> "tokenizing", "arrived" or "handed over"."""
    queue, waiting, running = RequestQueue(max_queue, capacity), {}, set()
    for step, number in history:
        name = f"r{number}"
        match step:
            case "a" if name not in waiting and name not in running:
                if len(waiting) + len(running) >= max_queue + capacity and len(waiting) >= max_queue:
                    with pytest.raises(QueueFullError):
                        queue.announce(name)
                else:
                    queue.announce(name)
                    waiting[name] = "tokenizing"
            case "p" if waiting.get(name) in (None, "tokenizing"):
                assert queue.put(request(name)) == (name in waiting)
                if name in waiting:
                    waiting[name] = "arrived"
            case "w":
                assert queue.withdraw(name) == (name in waiting or name in running)
                waiting.pop(name, None)
                running.discard(name)
                queue.finish(name, None)
            case "e":
                assert sorted(arrive(queue)) == sorted(one for one, state in waiting.items() if state == "arrived")
                waiting = {one: "handed over" if state == "arrived" else state for one, state in waiting.items()}
            case "t" if waiting.get(name) == "handed over":
                queue.started(name)
                del waiting[name]
                running.add(name)
            case "d" if name in running:
                queue.finish(name, 1.0)
                running.discard(name)
        assert (queue.waiting, queue.running) == (len(waiting), len(running))
