"""``[[server.keys]]``: a key with a name, and what its holder may do."""

from typing import Literal

from mlxd.config.fields import NamedTable, Reload, setting
from mlxd.config.units import Quota
from mlxd.config.values import MOST, MOST_PRIORITY, MOST_TOKENS, KeyName, ModelPatterns


class KeyTable(NamedTable):
    """A key with a name: who asks by it, for what, and how much."""

    name: KeyName = setting(..., "Who asks by this key, as logs, metrics and `mlxd keys` call it.", reload=Reload.LIVE, example="agents")
    key: str = setting(
        ...,
        'The key: "env:NAME", "file:PATH" or the key itself.',
        reload=Reload.LIVE,
        secret=True,
        example="env:AGENTS_KEY",
    )
    models: ModelPatterns = setting(
        (),
        'Models that it may ask for and see, with their adapters, and single adapters as "qwen3:sql": names, aliases, or patterns such as '
        '"qwen*", of either. Empty: all.',
        reload=Reload.LIVE,
    )
    max_concurrent: int | None = setting(
        None,
        "Requests for answers that may be under way at once, waiting or running; beyond it, 429. Unset: any number.",
        reload=Reload.LIVE,
        example=8,
        ge=1,
        le=MOST,
    )
    requests_per_minute: int | None = setting(
        None,
        "Requests within any 60 seconds, those for tokens included; beyond it, 429. Unset: any number.",
        reload=Reload.LIVE,
        example=600,
        ge=1,
        le=MOST,
    )
    tokens_per_minute: int | None = setting(
        None,
        "Tokens within any 60 seconds, of prompts (cached or not) and answers. Once they are used, 429; what is under way is finished. "
        "Unset: any number.",
        reload=Reload.LIVE,
        example=200_000,
        ge=1,
        le=MOST_TOKENS,
    )
    priority: int = setting(
        0,
        "The best priority that its requests may ask for, and that of requests which ask for none; lower goes first.",
        reload=Reload.LIVE,
        ge=-MOST_PRIORITY,
        le=MOST_PRIORITY,
    )
    cache_salt: Literal["own", "shared"] = setting(
        "shared",
        '"own": its prompts are found in prefix caches by its own requests only, and find nothing of others. "shared": by all that share.',
        reload=Reload.LIVE,
    )
    cache_quota: Quota | None = setting(
        None,
        'What is its own of the paged cache of each model that it may ask for: a share such as "30%", or a size. As long as its requests '
        "take no more, those of others evict nothing of what it was the last to use, nor do its own evict what is others'; what nobody "
        "uses it may take beyond that, and loses first. Keys without one share the rest. What runs is never stopped for it.",
        reload=Reload.LIVE,
        example="30%",
    )
