import ctypes
from pathlib import Path

import mlx.core as mx
import pytest

_SET_MODE = "_ZN3mlx4core16set_compile_modeENS0_11CompileModeE"  # mlx::core::set_compile_mode
_DISABLED, _NO_FUSE = 0, 2


@pytest.fixture
def traced():
    """MLX compiles functions, but fuses nothing: on a CPU that takes a C++ compiler a second for each kernel."""
    (library,) = Path(mx.__file__).parent.glob("lib/libmlx.*")
    set_mode = ctypes.CDLL(str(library))[_SET_MODE]
    set_mode.argtypes, set_mode.restype = [ctypes.c_int], None
    set_mode(_NO_FUSE)
    yield
    set_mode(_DISABLED)
