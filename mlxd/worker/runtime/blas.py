"""OpenBLAS before MLX, on Linux: the one place where the platform shows.

MLX's Linux wheel links reference BLAS, whose symbols OpenBLAS replaces when it is in the process first; float32
products become about ten times faster. On macOS nothing happens: MLX uses Metal and Accelerate.
"""

import ctypes
import os
import sys

_LIBRARY = "libopenblas.so.0"


def load_openblas() -> bool:
    """Loads OpenBLAS, and tells whether it is in use. Raises ``RuntimeError`` where ``mlx`` was imported before."""
    if sys.platform != "linux":
        return False
    if "mlx.core" in sys.modules:
        raise RuntimeError("MLX was imported before OpenBLAS was loaded")
    try:
        ctypes.CDLL(_LIBRARY, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        return False
    return True


def leave_cores() -> None:
    """Lets OpenBLAS compute on half of the cores from now on, where it is in use. It waits for its threads by spinning, so that two
    processes which both take every core hold each other up: a stream of another model's then stands still for as long as a batch takes.
    """
    if sys.platform != "linux":
        return
    try:
        limit = ctypes.CDLL(_LIBRARY).openblas_set_num_threads
    except (OSError, AttributeError):
        return
    limit(max(1, len(os.sched_getaffinity(0)) // 2))
