import ctypes
import hashlib
from pathlib import Path

import pytest

from tests.support.batch_scheduling import batch_scheduling

with batch_scheduling():
    from mlxd.worker.runtime import start  # noqa: F401 - first of all: OpenBLAS has to be in the process before MLX
from mlxd.worker.runtime import device
from mlxd.worker.runtime.entries.contiguous_probe import prove_batching
from mlxd.worker.runtime.paged import attention_choice, key_value_choice
from mlxd.worker.runtime.paged.attention import timing
from mlxd.worker.runtime.paged.attention.timing import Timing
from tests.support.tiny_model import make_scripted_model, make_tiny_model
from tests.worker import runner_rig

SCRIPT = "ab☃é日cd"
_SET_MODE = "_ZN3mlx4core16set_compile_modeENS0_11CompileModeE"  # mlx::core::set_compile_mode
_DISABLED, _NO_FUSE = 0, 2


@pytest.fixture(scope="session", autouse=True)
def _not_compiled():
    """What MLX fuses is its own business, and on a CPU it calls a C++ compiler for it: for all architectures that takes longer than their
    tests. Processes that tests start compile as ever, and so does what asks for ``compiled``.
    """
    device.mx.disable_compile()
    yield
    device.mx.enable_compile()


@pytest.fixture(scope="package", autouse=True)
def _batch_scheduling():
    """It halves what the system takes for tests of tiny models."""
    with batch_scheduling():
        yield


@pytest.fixture
def compiled():
    """MLX compiles what it fuses, as in a worker."""
    device.mx.enable_compile()
    yield
    device.mx.disable_compile()


@pytest.fixture
def traced():
    """MLX compiles functions, but fuses nothing: on a CPU that takes a C++ compiler a second for each kernel."""
    (library,) = Path(device.mx.__file__).parent.glob("lib/libmlx.*")
    set_mode = ctypes.CDLL(str(library))[_SET_MODE]
    set_mode.argtypes, set_mode.restype = [ctypes.c_int], None
    set_mode(_NO_FUSE)
    yield
    set_mode(_DISABLED)


@pytest.fixture(scope="session", autouse=True)
def _untimed():
    """Ways to attend are proved at each load, but not timed, which takes more than the requests of most tests; what a busy machine's clock
    would choose is no test's affair. Processes that tests start time them as ever, and so does what asks for ``timed``.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention_choice, "timed", lambda *_: Timing(1.3))
        yield


@pytest.fixture
def timed(monkeypatch):
    """Ways to attend are timed, as in a worker."""
    monkeypatch.setattr(attention_choice, "timed", timing.timed)


@pytest.fixture(scope="module", autouse=True)
def _forgotten():
    """Models that a file of tests has proved, and their arenas, take no memory after it."""
    yield
    runner_rig.known.clear()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def scripted(tmp_path_factory):
    """Says ``SCRIPT`` to any chat, then ends."""
    return make_scripted_model(tmp_path_factory.mktemp("scripted"), SCRIPT)


@pytest.fixture(scope="session")
def slow(tmp_path_factory):
    """Slow enough (milliseconds per token) that a test can act while it computes; its context is large."""
    return make_tiny_model(
        tmp_path_factory.mktemp("slow"),
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        max_position_embeddings=16384,
    )


@pytest.fixture(scope="session")
def _batched():
    """The digests of the models that mlx-lm was seen to batch rightly."""
    return set()


def digest_of(loaded):
    """Of all that decides what the model computes: its kind and its weights, with their names, shapes and types."""
    from mlx.utils import tree_flatten  # noqa: PLC0415  it imports MLX

    digest = hashlib.sha256(repr((type(loaded.model), loaded.dtype, loaded.end_tokens)).encode())
    for name, weight in tree_flatten(loaded.model.parameters()):
        digest.update(repr((name, weight.shape, weight.dtype)).encode())
        digest.update(memoryview(weight))
    return digest.digest()


@pytest.fixture
def proved_once(monkeypatch, _batched):
    """The proof of mlx-lm's batches is given once for each of the models above, not at every load: it takes longer than most requests."""

    def once(loaded):
        digest = digest_of(loaded)
        if digest not in _batched:
            prove_batching(loaded)
            _batched.add(digest)

    monkeypatch.setattr("mlxd.worker.runtime.choose.prove_batching", once)


@pytest.fixture
def any_loss(monkeypatch):
    """By keys and values of 8 bits models of random weights lose a hundredth to a fifth: what they say hangs on little."""
    monkeypatch.setattr(key_value_choice, "MOST_LOSS", 0.5)
