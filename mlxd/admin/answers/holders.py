"""Of the holders of keys: what they may, and what they use."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from mlxd.admin.answers.document import Count, Document, Time
from mlxd.control.quotas.key_use import Right


class KeyLimits(Document, frozen=True, kw_only=True):
    """The limits of one key; null where it has none."""

    max_concurrent: Count | None
    requests_per_minute: Count | None
    tokens_per_minute: Count | None


class KeyTokens(Document, frozen=True, kw_only=True):
    """The tokens of one key's requests since the daemon started."""

    prompt: Count
    cached: Annotated[Count, Meta(description="Of these, found in the prefix cache.")]
    completion: Count


class ApiKey(Document, frozen=True, kw_only=True):
    """One key, by its name: what its holder may, and what it uses. The key itself is shown nowhere."""

    name: Annotated[
        str, Meta(description="Of `server.keys`; `api_keys` for those without names, `anonymous` where there are no keys at all.")
    ]
    models: Annotated[Sequence[str], Meta(description="What it may ask for, as it is configured; empty: all.")]
    limits: KeyLimits
    priority: Annotated[int | None, Meta(description="The best that its requests may ask for; null: any.")]
    shares_cache: Annotated[bool, Meta(description='False with `cache_salt = "own"`.')]
    running: Annotated[Count, Meta(description="Requests for answers that are under way, waiting ones too.")]
    requests_this_minute: Annotated[Count, Meta(description="Within the last 60 seconds.")]
    tokens_this_minute: Annotated[Count, Meta(description="Within the last 60 seconds.")]
    tokens_held: Annotated[Count, Meta(description="Expected of prompts that wait, whose tokens are not known yet.")]
    requests: Annotated[Count, Meta(description="Admitted since the daemon started.")]
    tokens: KeyTokens
    refused: Annotated[Mapping[Right, Count], Meta(description="Requests refused since the daemon started, by the right exceeded.")]
    last_used: Annotated[Time | None, Meta(description="When its last request was admitted.")]


class ApiKeyList(Document, frozen=True, kw_only=True):
    """The keys of the running configuration."""

    keys: Annotated[Sequence[ApiKey], Meta(description="In the file's order, those without names last.")]
