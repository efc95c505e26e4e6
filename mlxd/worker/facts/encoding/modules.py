"""The modules of sentence-transformers, which ``modules.json`` lists in the order in which a text goes through them.

Old releases call a kind of module ``sentence_transformers.models.Pooling``, new ones have a longer path before the same last name. Other
names stand for code that comes with the model, which is not run.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.json_document import AGAIN, JsonDocument, is_there, read_text, shown

FILE = "modules.json"
_LIBRARY = "sentence_transformers."


class ModuleKind(StrEnum):
    """The kinds of modules that are known, by their names in sentence-transformers."""

    TRANSFORMER = "Transformer"
    POOLING = "Pooling"
    DENSE = "Dense"
    LAYER_NORM = "LayerNorm"
    NORMALIZE = "Normalize"
    LOGIT_SCORE = "LogitScore"


@dataclass(frozen=True)
class Module:
    """A module, the files of which are in ``directory``, which is the model's own where the module's ``name`` is empty."""

    kind: ModuleKind
    name: str  # of its directory
    directory: Path

    def settings(self) -> JsonDocument:
        """Returns its ``config.json``. Raises ``ModelSourceError`` where it is missing, and for what is no JSON object."""
        return JsonDocument.read(self.directory / "config.json")


def read_modules(directory: Path) -> tuple[Module, ...]:
    """Returns the modules of a model; none where it has no list of them. Raises ``ModelSourceError`` that names the entry which is none, or
    not known.
    """
    path = directory / FILE
    if not is_there(path):
        return ()
    try:
        entries = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise ModelSourceError(f"{path} is not valid JSON ({error}); {AGAIN}") from error
    if not isinstance(entries, list) or not entries:
        raise ModelSourceError(f"{path} is no list of modules; {AGAIN}")
    modules = tuple(_module(path, number, entry) for number, entry in enumerate(entries))
    if modules[0].kind is not ModuleKind.TRANSFORMER:
        raise ModelSourceError(f"{path}: the first module is {modules[0].kind}; expected {ModuleKind.TRANSFORMER}")
    if modules[0].name:
        raise ModelSourceError(
            f"{path}: the model itself is in the directory {modules[0].name}; move its files beside {FILE}, and make its path empty"
        )
    return modules


def _module(path: Path, number: int, entry: Any) -> Module:
    where = f"{path}: module {number}"
    match entry:
        case {"type": str(kind), "path": str(name)}:
            pass
        case _:
            raise ModelSourceError(f'{where} is {shown(entry)}; expected an object with "type" and "path"')
    known = {str(one): one for one in ModuleKind}.get(kind.rpartition(".")[2])
    if not kind.startswith(_LIBRARY):
        raise ModelSourceError(f'{where} is of "type" {shown(kind)}: mlxd runs no code that comes with a model')
    if known is None:
        raise ModelSourceError(f'{where} is of "type" {shown(kind)}, which is not known here; known: {", ".join(ModuleKind)}')
    if name and Path(name).name != name:
        raise ModelSourceError(f'{where} has the "path" {shown(name)}; expected the name of a directory beside {FILE}')
    return Module(known, name, path.parent / name)
