"""Models of the Hugging Face hub: ``org/name[@revision]``, in the hub library's own cache.

The hub's environment variables hold: ``HF_HOME``, ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HUB_OFFLINE`` and so on.
"""

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils.tqdm import tqdm

from mlxd.errors import ModelSourceError, ModelUnreachableError
from mlxd.types import LoadStage
from mlxd.worker.fetch.directory import check_model_directory
from mlxd.worker.fetch.progress import Progress, Throttled

# What mlx-lm fetches, without *.py: mlxd runs no code that comes with a model.
PATTERNS = [
    "*.json",
    "model*.safetensors",
    "[0-9]*_*/model.safetensors",  # of the modules behind a sentence-transformers model
    "tokenizer.model",
    "*.tiktoken",
    "tiktoken.model",
    "*.txt",
    "*.jsonl",
    "*.jinja",
]


@dataclass(frozen=True)
class SnapshotKind:
    """What of a repository is fetched, and what raises ``ModelSourceError`` where it is not whole."""

    patterns: tuple[str, ...]
    check: Callable[[Path], object]


MODEL = SnapshotKind(tuple(PATTERNS), check_model_directory)

_REPOSITORY = re.compile(r"(?P<name>[\w-][\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class HubModel:
    """A repository, and the branch, tag or commit of it; ``None`` stands for the default branch."""

    name: str
    revision: str | None = None

    @classmethod
    def parse(cls, source: str) -> Self:
        """Reads ``org/name[@revision]``. Raises ``ModelSourceError``."""
        match = _REPOSITORY.fullmatch(source)
        if match is None:
            raise ModelSourceError(
                f'{source!r} is no model source; expected "org/name[@revision]", '
                'a path beginning with "/", "./", "../" or "~", or "builtin:smollm2-135m"'
            )
        return cls(match["name"], match["revision"])

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


def obtain_snapshot(model: HubModel, progress: Progress, kind: SnapshotKind = MODEL) -> Path:
    """Returns the directory of a snapshot: the cached one without asking the network, else a downloaded one."""
    return cached_snapshot(model, kind) or download_snapshot(model, progress, kind)


def cached_snapshot(model: HubModel, kind: SnapshotKind = MODEL) -> Path | None:
    """Returns the newest snapshot in the cache, if it is whole, else None. No network is used."""
    try:
        path = Path(snapshot_download(model.name, revision=model.revision, allow_patterns=[*kind.patterns], local_files_only=True))
        kind.check(path)
    except (LocalEntryNotFoundError, HFValidationError, ModelSourceError):
        return None
    return path


def download_snapshot(model: HubModel, progress: Progress, kind: SnapshotKind = MODEL) -> Path:
    """Asks the hub for the revision and downloads what the cache lacks; interrupted downloads are resumed.

    Where the hub cannot be reached, a whole snapshot in the cache is used. Raises ``ModelSourceError``: no such repository or revision, no
    access, offline and not cached, no network, disk full, or not a model for MLX.
    """
    progress(LoadStage.FETCHING, 0, 0)
    try:
        bar = _reporting(Throttled(progress))
        path = snapshot_download(model.name, revision=model.revision, allow_patterns=[*kind.patterns], tqdm_class=bar)
    except Exception as error:
        # The HTTP library beneath changes between releases of the hub's, so its errors have no stable type.
        raise _diagnosis(model, error) from error
    kind.check(Path(path))
    return Path(path)


def _reporting(progress: Progress) -> type[Any]:
    """Returns a progress bar that draws nothing and reports bytes. The hub makes several; those that count files are ignored."""

    class Reporter(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self._counts_bytes = kwargs.get("unit") == "B"
            kwargs.pop("name", None)
            super().__init__(*args, **(kwargs | {"disable": True}))  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            self.n += n or 0
            if self._counts_bytes:
                progress(LoadStage.FETCHING, int(self.n), int(self.total or 0))

    return Reporter


def _diagnosis(model: HubModel, error: Exception) -> ModelSourceError:
    """Says what went wrong and what to do. "Not in the cache either" is said by the hub's library on top of the real cause."""
    if isinstance(error, LocalEntryNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    known = _refused(model, error) or _disk_trouble(model, error)
    kind = ModelUnreachableError if _passes(error) else ModelSourceError
    if known or constants.HF_HUB_OFFLINE:
        return kind(known or _unreachable(model, error))
    return ModelUnreachableError(_unreachable(model, error))


def _passes(error: Exception) -> bool:
    """Tells whether the error may pass: the hub is in trouble or busy, or the disk is full, and that may be otherwise in a minute."""
    if isinstance(error, HfHubHTTPError):
        status = getattr(getattr(error, "response", None), "status_code", 0)
        return status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _refused(model: HubModel, error: Exception) -> str | None:
    """Says why the hub, which answered, said no; None where it did not."""
    match error:
        case GatedRepoError():
            return f"{model} is gated: accept its conditions on the hub, then set HF_TOKEN to a token of that account"
        case RepositoryNotFoundError():
            return f"{model} is not on the hub at {constants.ENDPOINT}, or it is private; check the name, or set HF_TOKEN"
        case RevisionNotFoundError():
            return f"{model.name} has no revision {model.revision!r} on the hub; give a branch, a tag or a commit, or none for the default"
        case HFValidationError():
            return f"{model} is no valid name of a repository: {error}"
        case HfHubHTTPError():
            return (
                f"the hub at {constants.ENDPOINT} refuses {model}: {_first_line(error)}; check HF_ENDPOINT and HF_TOKEN, or try again later"
            )
    return None


def _disk_trouble(model: HubModel, error: Exception) -> str | None:
    match error:
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return f"no space left for {model} in {constants.HF_HUB_CACHE}; free some, or set HF_HOME to a directory on another disk"
        case OSError(errno=errno.EACCES | errno.EPERM | errno.EROFS):
            return f"cannot write {model} to {constants.HF_HUB_CACHE}: {error.strerror}; set HF_HOME to a directory you may write to"
    return None


def _unreachable(model: HubModel, error: Exception) -> str:
    if constants.HF_HUB_OFFLINE:
        return (
            f"{model} is not complete in the cache at {constants.HF_HUB_CACHE} and HF_HUB_OFFLINE is set; unset it, or copy the model there"
        )
    return (
        f"{model} is not complete in the cache at {constants.HF_HUB_CACHE} and cannot be fetched from {constants.ENDPOINT} "
        f"({type(error).__name__}: {_first_line(error)}); check the network and the proxy"
    )


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")
