"""What holds for all tests."""

import gc
import os
import signal
import sys
import threading

import pytest
import structlog
from _pytest.runner import runtestprotocol
from hypothesis import HealthCheck, settings

from tests.support import distribution
from tests.support.examples import examples

# Other work on the machine must not fail a property. A property that wants more examples, or fewer, says so.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=examples(25))
settings.load_profile("patient")

# Every core has a process of tests: more threads for a product of matrices would only wait for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Whoever begins the tests in the background, or under nohup, has these ignored, and so would the programs have that we start to see what
# a signal does to them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _interrupt(_number, _frame):
    raise KeyboardInterrupt


# As Python's own, which asyncio would replace, and put back, in each part of each test: with a representation each time of the task that
# runs, and of all that it holds, that nobody reads.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler and threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, _interrupt)

# Where nobody configures logs, an error with its traceback would be painted, with frames and colours, for 50 ms of the processor.
_PLAIN = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _PLAIN])


gc.disable()  # while thousands of tests are collected


def pytest_collection_modifyitems(items):
    """The longest first: a process that begins one when all others are done keeps everybody waiting."""
    items.sort(key=lambda item: distribution.rank(item.nodeid))


def pytest_ignore_collect(collection_path, config):
    """A process that is there for what waits has no use for all of the rest."""
    name, count = os.environ.get("PYTEST_XDIST_WORKER"), os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    if not name or not collection_path.is_file() or not distribution.only_waits(name, int(count)):
        return None
    return not distribution.collects(collection_path.relative_to(config.rootpath).as_posix()) or None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item, nextitem):
    """A process tells what came of each test. That one begins, is set up, torn down and over would be four of six messages, and of ten
    thousand tests they would take a quarter of a minute of the processor.
    """
    if not hasattr(item.config, "workerinput") or item.config.option.durations is not None:
        return None
    for report in runtestprotocol(item, log=False, nextitem=nextitem):
        if report.when == "call" or not report.passed:
            item.ihook.pytest_runtest_logreport(report=report)
    return True


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    """aiohttp keeps the last thousand applications for their middlewares, each with hundreds of objects for the collector to look at."""
    if (applications := sys.modules.get("aiohttp.web_app")) is not None:
        applications._cached_build_middleware.cache_clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """What a test logs may hold halves of surrogate pairs, which a process cannot tell another: it would end all tests."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_make_scheduler(config, log):
    """Whatever ``--dist`` says: a file that is split over processes fails, or is slow."""
    return distribution.Distribution(config, log)


def pytest_collection_finish(session):
    """What was imported and collected stays: the garbage collector need not look at it again, some thousand times. Nor need it look as
    often as Python has it, at every 700 objects.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
