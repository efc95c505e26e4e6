"""The device that a check runs on."""

from typing import Any

import mlx.core as mx

from benchmarks.harness.errors import BenchmarkError


class NoGpuError(BenchmarkError):
    """MLX finds no GPU here."""


def use(device: str) -> None:
    """Has MLX compute on ``device``, "gpu" or "cpu". Raises ``NoGpuError`` where there is none, or it does not compute."""
    if device == "cpu":
        mx.set_default_device(mx.cpu)
        return
    if not (mx.metal.is_available() or mx.cuda.is_available()):
        raise NoGpuError("this build of MLX has neither Metal nor CUDA: there is no GPU to check (--device cpu tries the check itself)")
    mx.set_default_device(mx.gpu)
    try:
        mx.eval(mx.ones(8) + 1)
    except RuntimeError as error:
        raise NoGpuError(f"MLX's GPU does not compute: {error}") from error


def describe_gpu(device: str) -> dict[str, Any]:
    """Returns what MLX says of the device."""
    if device == "cpu":
        return {"backend": "cpu"}
    return {"backend": "metal" if mx.metal.is_available() else "cuda", **mx.device_info(mx.gpu)}
