import pytest

from mlxd.client.process import describe_exit
from mlxd.client.worker_output import FORWARD_LIMIT, FORWARD_WINDOW, LINE_LIMIT, WorkerOutput


@pytest.fixture
def lines():
    return []


@pytest.fixture
def output(lines):
    return WorkerOutput(lines.append)


def test_lines_may_straddle_reads(output, lines):
    for data in (b"one\ntw", b"o\n\n", b"three"):
        output.feed(data, 0)
    assert lines == ["one", "two"]
    output.finish(0)
    assert lines == ["one", "two", "three"]


def test_progress_bars_are_lines(output, lines):
    output.feed(b" 1%\r 2%\r\n 3%\r", 0)
    assert lines == [" 1%", " 2%", " 3%"]


def test_characters_may_straddle_reads_and_garbage_is_replaced(output, lines):
    for byte in "é\n".encode() + b"\xff\n":
        output.feed(bytes([byte]), 0)
    assert lines == ["é", "\ufffd"]


def test_one_endless_line_is_bounded(output, lines):
    for _ in range(100):
        output.feed(b"x" * 1000, 0)
    output.finish(0)
    assert [len(line) for line in lines] == [LINE_LIMIT]


def test_a_flood_is_withheld_and_counted(output, lines):
    output.feed(b"noise\n" * (FORWARD_LIMIT + 7), 0)
    assert len(lines) == FORWARD_LIMIT
    output.feed(b"later\n", FORWARD_WINDOW)
    assert lines[FORWARD_LIMIT:] == ["(7 more lines were withheld)", "later"]


def test_what_was_withheld_at_the_end_is_told(output, lines):
    output.feed(b"noise\n" * (FORWARD_LIMIT + 1) + b"last\n", 0)
    output.finish(0)
    assert lines[-1] == "(2 more lines were withheld)"
    assert output.last_words.endswith("last")


def test_last_words_are_the_error_not_its_traceback(output):
    output.feed(b'Traceback (most recent call last):\n  File "x.py", line 1\n    boom()\nValueError: no such device\n', 0)
    assert output.last_words == "ValueError: no such device"


def test_last_words_are_the_abort_not_the_dump_after_it(output):
    output.feed(b"libc++abi: terminating\nFatal Python error: Aborted\n\nThread 0x1 (most recent call first):\n  File x\nExtra\n", 0)
    assert output.last_words == "libc++abi: terminating | Fatal Python error: Aborted"


def test_no_words(output):
    assert output.last_words == ""


@pytest.mark.parametrize(
    ("code", "text"), [(0, "exited with code 0"), (3, "exited with code 3"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")]
)
def test_exit_codes_in_words(code, text):
    assert describe_exit(code) == text
