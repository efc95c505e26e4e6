"""Tools that the client carries out, and whose schema it does not send: Anthropic's models know them by their type.

The schemas are those of Anthropic's documentation, of the newest version of each.
"""

from dataclasses import dataclass
from typing import Any

_TEXT = {"type": "string"}
_LINE = {"type": "integer"}


@dataclass(frozen=True, kw_only=True)
class ClientTool:
    """What a model must be told of a tool."""

    description: str
    parameters: dict[str, Any]


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _said(text: str, kind: dict[str, Any]) -> dict[str, Any]:
    return {**kind, "description": text}


def _one_of(*values: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(values)}


_RANGE = _said("The first and the last line to view; -1: to the end.", {"type": "array", "items": _LINE})

_BASH = ClientTool(
    description="Runs commands in a bash session that lasts from call to call.",
    parameters=_object(
        [],
        command=_said("The command to run.", _TEXT),
        restart=_said("Begins a new session instead of running a command.", {"type": "boolean"}),
    ),
)
_EDITOR = ClientTool(
    description="Views, creates and edits text files.",
    parameters=_object(
        ["command", "path"],
        command=_one_of("view", "create", "str_replace", "insert"),
        path=_said("The file or directory.", _TEXT),
        file_text=_said("For create: the file's text.", _TEXT),
        old_str=_said("For str_replace: the text to replace, which must be in the file exactly once.", _TEXT),
        new_str=_said("For str_replace: the text to put in its place.", _TEXT),
        insert_line=_said("For insert: the line to insert behind; 0: at the beginning.", _LINE),
        insert_text=_said("For insert: the text to insert.", _TEXT),
        view_range=_RANGE,
    ),
)
_MEMORY = ClientTool(
    description="Keeps notes in files below /memories, for this and for later conversations.",
    parameters=_object(
        ["command"],
        command=_one_of("view", "create", "str_replace", "insert", "delete", "rename"),
        path=_said("The file or directory, below /memories.", _TEXT),
        file_text=_said("For create: the file's text.", _TEXT),
        old_str=_said("For str_replace: the text to replace.", _TEXT),
        new_str=_said("For str_replace: the text to put in its place.", _TEXT),
        insert_line=_said("For insert: the line to insert behind; 0: at the beginning.", _LINE),
        insert_text=_said("For insert: the text to insert.", _TEXT),
        old_path=_said("For rename: the file as it is called.", _TEXT),
        new_path=_said("For rename: the file as it is to be called.", _TEXT),
        view_range=_RANGE,
    ),
)
_BY_PREFIX = {"bash_": _BASH, "text_editor_": _EDITOR, "memory_": _MEMORY}


def client_tool(kind: str) -> ClientTool | None:
    """Returns what is known of a tool of this type, such as ``bash_20250124``; None where the client does not carry it out, or what it does
    has no use for a model that reads text only.
    """
    return next((tool for prefix, tool in _BY_PREFIX.items() if kind.startswith(prefix) and kind.removeprefix(prefix).isdecimal()), None)
