"""How a field of the schema is declared: description, reload class, and whether its feature exists yet."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo


class Reload(StrEnum):
    """What a change of the field costs."""

    LIVE = "live"  # takes effect on the next request or step
    MODEL = "model"  # that model gets a new worker
    LISTENER = "listener"  # the new socket is bound before the old one closes
    DAEMON = "daemon"  # refused by reload


class Table(BaseModel):
    """Every table is frozen, strict (``true`` is no number, ``"5"`` is no number), and takes no undeclared key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=False)


class NamedTable(Table):
    """A table of an array of tables. It is known by its name, which no other of the array has, wherever it stands in it."""

    name: str


def setting(  # noqa: PLR0913  # one keyword for each property of a field
    default: Any,
    description: str,
    *,
    reload: Reload,
    secret: bool = False,
    example: Any = None,
    default_text: Any = None,
    **constraints: Any,
) -> Any:
    """Declares a field, which is required where ``default`` is ``...``.

    ``example`` is shown where there is no default; ``default_text`` where the default depends on the machine.
    """
    extra: dict[str, Any] = {"reload": reload.value}
    optional = {
        "secret": secret,
        "example": example,
        "default_text": default_text,
    }
    extra |= {name: value for name, value in optional.items() if value}
    make_default = {"default_factory": default} if callable(default) else {"default": default}
    return Field(description=description, json_schema_extra=extra, repr=not secret, **make_default, **constraints)


def table(kind: type[Table], description: str) -> Any:
    """Declares a sub-table with all its defaults."""
    return Field(default_factory=kind, description=description)


def tables(description: str, *, secret: bool = False) -> Any:
    """Declares an array of tables, which is empty by default. One that holds secrets is not shown where it is no array of tables."""
    return Field(default=(), description=description, json_schema_extra={"secret": True} if secret else {})


def _extra(info: FieldInfo) -> dict[str, Any]:
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def reload_class(info: FieldInfo) -> Reload | None:
    """Returns the declared class, or None for a sub-table, whose fields have their own."""
    value = _extra(info).get("reload")
    return Reload(value) if value else None


def is_secret(info: FieldInfo) -> bool:
    """Tells whether the field is shown as ``<redacted>`` by the admin API, and in no message."""
    return bool(_extra(info).get("secret"))


def example(info: FieldInfo) -> Any:
    """Returns a value to show for a field without a default; None where none was given."""
    return _extra(info).get("example")


def default_text(info: FieldInfo) -> Any:
    """Returns the default as it is written in a file, where it depends on the machine; else None."""
    return _extra(info).get("default_text")
