"""Of the configuration: what runs, what another one would change, and how taking it over ended."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mlxd.admin.answers.document import Bytes, Document, ErrorBody, ListenerRole, Sha256
from mlxd.config.fields import Reload
from mlxd.control.planner import Action
from mlxd.control.reload import Result

_SHOWN = "As it is written in the file; secrets redacted."


class ConfigDocument(Document, frozen=True, kw_only=True):
    """The configuration that is in force: every value, and where each of them is from."""

    path: str
    sha256: Annotated[Sha256, Meta(description="SHA-256 of the file's bytes: the configuration's ETag.")]
    config: Annotated[Mapping[str, Any], Meta(description="Every value, defaults included; secrets redacted.")]
    provenance: Annotated[
        Mapping[str, int | Literal["default"]], Meta(description='Each value\'s dotted key, and its line in the file or "default".')
    ]


class Validation(Document, frozen=True, kw_only=True):
    """The text is valid."""

    valid: Literal[True]
    models: Annotated[Sequence[str], Meta(description="Those it configures.")]


class FieldChange(msgspec.Struct, frozen=True, kw_only=True, rename={"reload": "class"}):
    """One field that changes."""

    key: Annotated[str, Meta(description="Dotted, such as `models.smollm2.batching.max_sequences`.")]
    before: Annotated[Any, Meta(description=_SHOWN)]
    after: Annotated[Any, Meta(description=_SHOWN)]
    reload: Annotated[Reload, Meta(description="What the change costs; see the configuration's reload classes.")]
    line: Annotated[int | None, Meta(description="Of the new file; null where it does not stand there.")]


class ModelAction(Document, frozen=True, kw_only=True):
    """What happens to one model."""

    model: Annotated[str, Meta(description="Its id.")]
    action: Annotated[
        str,
        Meta(
            extra_json_schema={"enum": [action.value for action in Action if action is not Action.NONE]},
            description="`live`: its worker is told. `replace`: a new worker beside the old one, which then drains; `drain_and_replace`: "
            "there is no memory for both. `load`, `add`: it is new, and loads at once or at its first request. `unload`: it is gone from "
            "the file.",
        ),
    ]
    changes: Sequence[FieldChange]


class ListenerAction(Document, frozen=True, kw_only=True):
    """What happens to one listener."""

    role: ListenerRole
    opened: Annotated[Sequence[str], Meta(description="Addresses.")]
    closed: Annotated[Sequence[str], Meta(description="Addresses.")]


class CacheShareChange(Document, frozen=True, kw_only=True):
    """What one model has of the pool of caches (`cache.memory = "auto"`)."""

    model: Annotated[str, Meta(description="Its id.")]
    before_bytes: Annotated[Bytes | None, Meta(description="Null: it has no share now.")]
    after_bytes: Annotated[Bytes | None, Meta(description="Null: it will have none.")]


class PlanDocument(Document, frozen=True, kw_only=True):
    """What taking a configuration over does."""

    models: Annotated[Sequence[ModelAction], Meta(description="Those that nothing happens to are left out.")]
    listeners: Sequence[ListenerAction]
    live: Annotated[Sequence[FieldChange], Meta(description="Outside models, in effect at once.")]
    refused: Annotated[Sequence[FieldChange], Meta(description="Need a restart of the daemon.")]
    caches: Annotated[Sequence[CacheShareChange], Meta(description="Shares of the pool of caches that change, as far as is known before.")]


class ReloadOutcome(Document, frozen=True, kw_only=True):
    """How a reload ended, or would."""

    result: Annotated[
        Result,
        Meta(
            description="`applied`, `unchanged`, `planned` (a dry run): good. `invalid` (422): the file has problems. `refused` (409): it "
            "cannot be taken over. `stale` (412): `If-Match` names another configuration than the running one. After these three nothing "
            "has changed. `failed` (500): taken over, but a model could not become what it is to be; what was good before serves on."
        ),
    ]
    sha256: Annotated[Sha256, Meta(description="SHA-256 of the file that is the running configuration now: its ETag.")]
    plan: PlanDocument
    problems: Annotated[Sequence[str], Meta(description="For people, one line each.")]
    models: Annotated[Mapping[str, str], Meta(description="Models that are not what they are to be, and why.")]
    error: Annotated[ErrorBody | None, Meta(description="Null where the result is good.")]
