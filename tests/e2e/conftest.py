"""Models and daemons the end-to-end tests share."""

import socket

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.support.scripted.daemon import ScriptedDaemon
from tests.support.tiny_model import EOS, make_tiny_model

# Ways to attend are proved and timed where the real model is loaded.
TINY = '[defaults.batching]\nmode = "continuous"\nattention = "rows"\n[models.tiny]\nsource = "{dir}/model"\naliases = ["default"]\n'

# Of the real model, whose load takes longer than most tests.
CONTINUOUS = '[defaults.batching]\nmode = "continuous"\n[models.smollm2]\nsource = "builtin:smollm2-135m"\naliases = ["default"]\n'

# A request that runs until it is stopped: no end token, and a context that holds tens of thousands of tokens.
ENDLESS = {"model": "tiny", "prompt": "Once", "temperature": 0, "logit_bias": {str(EOS): -100}}


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"), max_position_embeddings=200_000)


@pytest.fixture(scope="session")
def continuous(tmp_path_factory):
    """A daemon that has the real model loaded, in continuous mode, for every test that leaves it ready and with this file."""
    with DaemonProcess(tmp_path_factory.mktemp("continuous"), CONTINUOUS) as started:
        started.wait_ready()
        yield started


@pytest.fixture(scope="session")
def _scripted(tmp_path_factory):
    with ScriptedDaemon(tmp_path_factory.mktemp("scripted")) as started:
        started.wait_ready()
        yield started


@pytest.fixture
def scripted(_scripted):
    """A daemon whose model says what the test has it say; nothing of interest until then."""
    _scripted.say()
    return _scripted


@pytest.fixture
def start_daemon(tmp_path, tiny_model):
    """Start daemons on the tiny model; all end with the test."""
    started = []

    def start(toml=TINY, *, name="a", **options):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "model").symlink_to(tiny_model)
        daemon = DaemonProcess(directory, toml, **options)
        started.append(daemon)
        daemon.start()
        return daemon

    yield start
    for daemon in started:
        daemon.__exit__()


@pytest.fixture
def free_port():
    """One that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]
