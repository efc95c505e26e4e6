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
    """Base of every table: frozen, and no key is accepted that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=False, arbitrary_types_allowed=True)


def setting(
    default: Any,
    description: str,
    *,
    reload: Reload,
    secret: bool = False,
    not_yet: bool = False,
    **constraints: Any,
) -> Any:
    """A field. ``not_yet``: setting it is refused, for its feature comes later."""
    extra: dict[str, Any] = {"reload": reload.value}
    if secret:
        extra["secret"] = True
    if not_yet:
        extra["not_yet_available"] = True
    make_default = {"default_factory": default} if callable(default) else {"default": default}
    return Field(description=description, json_schema_extra=extra, **make_default, **constraints)


def table(kind: type[Table], description: str) -> Any:
    """A sub-table with all its defaults."""
    return Field(default_factory=kind, description=description)


def _extra(info: FieldInfo) -> dict[str, Any]:
    return info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}


def reload_class(info: FieldInfo) -> Reload | None:
    """The declared class, or None for a sub-table (its fields have their own)."""
    value = _extra(info).get("reload")
    return Reload(value) if value else None


def is_secret(info: FieldInfo) -> bool:
    """Shown as ``<redacted>`` by the admin API."""
    return bool(_extra(info).get("secret"))


def is_not_yet_available(info: FieldInfo) -> bool:
    """Setting it is an error, not a silent no-op."""
    return bool(_extra(info).get("not_yet_available"))
