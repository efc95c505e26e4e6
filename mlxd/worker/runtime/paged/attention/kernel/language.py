"""The languages that a kernel's body can be read in, and which of them this device speaks.

Read in MLX 0.32 (``mx.fast.metal_kernel``, ``mx.fast.cuda_kernel``): both write a function around the body, pass ``NAME_shape`` where the
body names it, and give integers and types of the call as constants. They compile when a call is evaluated, not when a kernel is made, and
an error of the compiler is a ``RuntimeError`` of ``mx.eval``. Compiled CUDA is kept on disk by the kernel's name: so the name has to change
with the source. The grid counts threads, not threadgroups.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlxd.errors import MlxdError

_LONGEST = 300  # characters of a device's message
_SOURCES = Path(__file__).parent


class NoKernelError(MlxdError):
    """The device, or the model on it, has no kernel: the message says why."""

    code = "no_kernel"


@dataclass(frozen=True)
class Language:
    """A ``header`` gives the body's words a meaning, and ``make`` makes kernels with the arguments of ``mx.fast.metal_kernel``."""

    name: str
    header: str
    make: Callable[..., Any]

    def kernel(self, body: str, inputs: list[str], outputs: list[str], words: str = "") -> Any:
        """Returns the kernel of a ``body``, one of the files beside this one, by its name. What ``words``, another one, defines is in its
        header, too.
        """
        source, header = _read(body), "\n".join([self.header, *([_read(words)] if words else [])])
        digest = sha256((header + source).encode()).hexdigest()[:12]
        return self.make(name=f"mlxd_{body}_{digest}", input_names=inputs, output_names=outputs, source=source, header=header)


def language_of_device() -> Language:
    """Returns what MLX's default device speaks. Raises ``NoKernelError`` on a CPU."""
    if mx.default_device().type == mx.gpu:
        if mx.metal.is_available():
            return Language("Metal", header_of("metal"), mx.fast.metal_kernel)
        if mx.cuda.is_available():
            return Language("CUDA", header_of("cuda"), mx.fast.cuda_kernel)
    raise NoKernelError("needs Metal or CUDA")


@contextmanager
def compiling() -> Iterator[None]:
    """Turns what a device says against a kernel that is evaluated within into a ``NoKernelError``."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        raise NoKernelError(f"does not compile or run here: {_said(str(error))}") from error


def _said(message: str) -> str:
    """Returns the line that tells most of a compiler's message."""
    lines = [line.strip() for line in message.splitlines() if line.strip()] or ["no message"]
    return next((line for line in lines if "error" in line.lower()), lines[0])[:_LONGEST]


def header_of(device: str) -> str:
    """Returns the header for "metal" or "cuda"."""
    return _read(device)


def _read(name: str) -> str:
    return (_SOURCES / f"{name}.inc").read_text()
