"""A benchmark says which step comes next, and how long the rest takes by what it has seen."""

import io

from benchmarks.harness.progress import Progress, duration


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def told(steps, seconds, **options):
    """What is said while each step takes as long as ``seconds`` says of its name."""
    clock, out = Clock(), io.StringIO()
    for step in Progress(clock=clock, out=out, **options).over(steps):
        clock.now += seconds[step]
    return out.getvalue().splitlines()


def test_each_step_is_told_and_the_rest_is_what_steps_of_the_name_took():
    assert told(["a", "b"] * 3, {"a": 10, "b": 50}) == [
        "[1/6] a",
        "[2/6] b; about 50 s to go",  # two more of a, and three of b, which nobody has seen yet: as long as a
        "[3/6] a; about 2 min to go",
        "[4/6] b; about 2 min to go",
        "[5/6] a; about 60 s to go",
        "[6/6] b; about 50 s to go",
    ]


def test_quick_steps_are_not_told_one_by_one():
    assert told(["a"] * 100, {"a": 0.125}) == [f"[{number}/100] a" + rest(number) for number in range(1, 101, 8)]


def rest(number):
    return f"; about {(101 - number) * 0.125:.0f} s to go" if number > 1 else ""


def test_after_each_step_there_is_something_to_do():
    done = []
    told(["a", "b"], {"a": 1, "b": 1}, after_step=lambda: done.append(len(done)))
    assert done == [0, 1]


def test_durations_are_told_as_people_would():
    assert [duration(seconds) for seconds in (0.4, 89, 91, 3000, 3900)] == ["0 s", "89 s", "2 min", "50 min", "1 h 5 min"]
