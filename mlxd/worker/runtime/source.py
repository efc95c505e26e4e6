"""The worker's door to models: a source in, a directory to load out."""

from pathlib import Path

from mlxd.worker.fetch.progress import Progress
from mlxd.worker.fetch.resolve import Converter, refresh, resolve

CONVERSION = 1  # raise it whenever gguf.py makes something else of the same file


def fetch_model(source: str, progress: Progress) -> Path:
    """Returns the model's directory, for loading; it is fetched and converted first where it is not on disk.

    MLX is imported only where a conversion is due, and then used in the calling thread. Raises ``ModelSourceError``.
    """
    return resolve(source, progress, _CONVERTER)


def pull_model(source: str, progress: Progress) -> Path:
    """Does as ``fetch_model``, but brings a model of the hub up to date. It is for ``mlxd pull``."""
    return refresh(source, progress, _CONVERTER)


def _convert(gguf: Path, directory: Path) -> None:
    # Not at the top: OpenBLAS has to be loaded before MLX, and most calls do not need MLX at all.
    from mlxd.worker.runtime.gguf.model import convert_gguf  # noqa: PLC0415

    convert_gguf(gguf, directory)


_CONVERTER = Converter(CONVERSION, _convert)
