"""The files of ``[[models.NAME.cache.pin]]``, which are read when the configuration is."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlxd.config.keys import Key
from mlxd.config.paths import expand
from mlxd.config.pin_table import LONGEST_NAME, PromptFile
from mlxd.config.problems import Problem, shown
from mlxd.config.regular_file import read_at_most

MAX_FILE = 2**20  # bytes

ReadPrompt = Callable[[Path], str]  # raises ``ValueError`` that says what is wrong with the file


def read_prompt(path: Path) -> str:
    """Returns a file's text, without a line break at its end. Raises ``ValueError`` for one that is missing, empty or too large."""
    try:
        data = read_at_most(path, MAX_FILE)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        raise ValueError("that file does not exist; create it, or remove the pin") from None
    except OSError as error:
        raise ValueError(f"that file cannot be read ({error.strerror}); make it a file that mlxd can read") from None
    except UnicodeDecodeError:
        raise ValueError("that file is not text in UTF-8") from None
    if len(data) > MAX_FILE:
        raise ValueError(f"that file is larger than {MAX_FILE // 2**20} MiB; it must hold the beginning of a prompt")
    if not text.strip():
        raise ValueError("that file is empty; it must hold the beginning of a prompt")
    return text.removesuffix("\n").removesuffix("\r")


def leave_prompt(path: Path) -> str:
    """Returns no text, and reads nothing: it is for configurations that somebody sends."""
    del path
    return ""


def read_prompts(values: dict[str, Any], directory: Path, read: ReadPrompt) -> list[Problem]:
    """Puts a ``PromptFile`` in the place of each path, and gives a pin without a name that of its file. What is no path is left to
    validation.
    """
    problems: list[Problem] = []
    for key, pin in _pins(values):
        text = pin.get("prompt_file")
        if not isinstance(text, str) or not text:
            continue
        try:
            path = expand(text, directory)
            pin["prompt_file"] = PromptFile(str(path), read(path))
            pin.setdefault("name", path.name[:LONGEST_NAME])
        except ValueError as error:
            problems.append(Problem((*key, "prompt_file"), f"found {shown(text)}; {error}"))
    return problems


def _pins(values: dict[str, Any]) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Yields what should be pins, with where they stand."""
    models = values.get("models")
    around: list[tuple[Key, Any]] = [(("defaults",), values.get("defaults"))]
    around += [(("models", name), model) for name, model in models.items()] if isinstance(models, dict) else []
    for at, table in around:
        cache = table.get("cache") if isinstance(table, dict) else None
        pins = cache.get("pin") if isinstance(cache, dict) else None
        for position, pin in enumerate(pins if isinstance(pins, list) else ()):
            if isinstance(pin, dict):
                yield (*at, "cache", "pin", position), pin
