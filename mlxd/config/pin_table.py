"""``[[models.NAME.cache.pin]]``: the beginning of prompts that stays in the cache, and the file that holds it."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from mlxd.cache_terms import PinForm
from mlxd.config.fields import NamedTable, Reload, setting

LONGEST_NAME = 64  # characters


@dataclass(frozen=True)
class PromptFile:
    """A file by its absolute path, and its text as it was when the configuration was read; "" where nothing was."""

    path: str
    text: str = field(default="", repr=False)


def _prompt_file(value: object) -> object:
    if value == "":
        raise ValueError('must be the path of a file, such as "./prompts/support.txt"')
    return PromptFile(value) if isinstance(value, str) else value


def _check_name(value: str) -> str:
    if not value.isprintable() or value != value.strip() or len(value) > LONGEST_NAME:
        raise ValueError(f"must be a name of at most {LONGEST_NAME} printable characters, with no space around it")
    return value


PromptFileField = Annotated[
    PromptFile, BeforeValidator(_prompt_file), PlainSerializer(lambda file: file.path, return_type=str), WithJsonSchema({"type": "string"})
]


class PinTable(NamedTable):
    """The beginning of prompts, computed when the model is loaded, that stays in its paged cache whatever happens."""

    name: Annotated[str, AfterValidator(_check_name)] = setting(
        "", "What status and the log call it. Empty: the name of the file, which no other of the model's then has.", reload=Reload.LIVE
    )
    prompt_file: PromptFileField = setting(
        ...,
        "A file that holds the text, in UTF-8, up to 1 MiB; a line break at its end is none of it. It is read when the configuration is, "
        "so a new text needs a reload. A relative path starts from this file's directory. The cache keeps whole blocks of it, and all pins "
        "of a model take at most half of its cache: one that does not fit any more is refused.",
        reload=Reload.LIVE,
        example="./prompts/support.txt",
    )
    form: PinForm = setting(
        "system",
        'What the text is. "system": the system message of conversations, as the model\'s chat template shows it before whatever a user '
        'says. "text": the beginning of prompts of text completions, as it is.',
        reload=Reload.LIVE,
    )
