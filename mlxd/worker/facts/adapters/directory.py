"""A directory with an adapter: whose format it has, and whether its files are whole and say what can be."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mlxd.errors import AdapterSourceError, ModelSourceError
from mlxd.worker.facts.adapters import mlx_lm_format, peft_format
from mlxd.worker.facts.adapters.adapter_facts import AdapterFacts
from mlxd.worker.facts.adapters.stamps import Stamp, Stamps
from mlxd.worker.facts.json_document import AGAIN, JsonDocument, is_there
from mlxd.worker.facts.safetensors_file import read_tensors

CONFIG = "adapter_config.json"
PATTERNS = [CONFIG, mlx_lm_format.FILE, peft_format.FILE]  # what of a repository is fetched
_NO_SAFETENSORS = ("adapters.npz", "adapter_model.bin", "adapter_model.pt", "adapters.bin")


def read_adapter(directory: Path) -> AdapterFacts:
    """Returns the adapter in a directory, by its configuration and the header of its weights, in a fraction of a second: no value of a
    tensor is read, nothing is executed, and the model that it is for is not needed.

    Raises ``AdapterSourceError`` that names the file, and the key or tensor in it.
    """
    with adapter_errors(directory):
        _check_exists(directory)
        of_config = Stamp.of(directory / CONFIG)
        config = JsonDocument.read(directory / CONFIG)
        is_peft = config.get("peft_type") is not None
        if not is_peft and config.get("lora_parameters") is None and config.get("fine_tune_type") is None:
            raise AdapterSourceError(
                f'{config.path} is of no known format: it has neither "peft_type" (PEFT) nor "lora_parameters" (mlx-lm)'
            )
        file = directory / (peft_format.FILE if is_peft else mlx_lm_format.FILE)
        _check_is_safetensors(file)
        stamps = Stamps(of_config, Stamp.of(file))
        tensors = read_tensors(file)
        facts = peft_format.read_peft(config, file, tensors) if is_peft else mlx_lm_format.read_mlx_lm(config, file, tensors)
        return replace(facts, stamps=stamps)


@contextmanager
def adapter_errors(directory: Path) -> Iterator[None]:
    """Makes of whatever is wrong with a file an ``AdapterSourceError``."""
    try:
        yield
    except AdapterSourceError:
        raise
    except ModelSourceError as error:
        raise AdapterSourceError(error.message.replace(AGAIN, "fetch or copy the adapter again")) from error
    except OSError as error:
        raise AdapterSourceError(f"{error.filename or directory} cannot be read: {error.strerror or error}") from error


def _check_exists(directory: Path) -> None:
    if not directory.exists():
        raise AdapterSourceError(f"{directory} does not exist; give the path of a directory that holds {CONFIG}")
    if not directory.is_dir():
        raise AdapterSourceError(f"{directory} is a file; an adapter is a directory with {CONFIG} and its weights")


def _check_is_safetensors(file: Path) -> None:
    """Raises ``AdapterSourceError`` that names what is there instead."""
    others = [file.parent / name for name in _NO_SAFETENSORS]
    if not is_there(file) and (there := [other for other in others if is_there(other)]):
        raise AdapterSourceError(f"{there[0]} is no safetensors file, and no other kind is read; convert it to {file.name}")
