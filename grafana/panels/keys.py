"""Keys: who uses how much, by the names of keys, and who meets a limit."""

from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units

from grafana.promql import daemon, rate, share, total
from grafana.style import TOKENS_PER_SECOND, Query, about, areas, bars, lines

_NAMES = "`anonymous`: no keys are configured; `api_keys`: keys without names."


def tokens() -> Panel:
    used = f"{rate(daemon('mlxd_key_prompt_tokens_total'), 'key')}\n+\n{rate(daemon('mlxd_key_generation_tokens_total'), 'key')}"
    return areas("Tokens by key", TOKENS_PER_SECOND, Query(used, "{{key}}")).description(
        about(
            f"Tokens of prompts, cached ones too, and of answers, by the name of the key. {_NAMES}",
            normal="As your users are.",
            otherwise="One key takes it all: `tokens_per_minute` bounds it, `priority` puts it behind the others.",
        )
    )


def requests() -> Panel:
    return areas("Requests by key", units.RequestsPerSecond, Query(rate(daemon("mlxd_key_requests_total"), "key"), "{{key}}")).description(
        about(
            f"Requests that were admitted, per second. {_NAMES}",
            normal="As your users are.",
            otherwise="A client that asks again and again: `requests_per_minute` bounds it.",
        )
    )


def running() -> Panel:
    return lines("Under way by key", units.Short, Query(total(daemon("mlxd_key_requests_running"), "key"), "{{key}}")).description(
        about(
            f"Requests for answers, waiting and running. {_NAMES}",
            normal="Fewer than the sequences of a batch.",
            otherwise="One key fills the queue: `max_concurrent` bounds it.",
        )
    )


def refusals() -> Panel:
    found = rate(daemon("mlxd_key_refusals_total"), "key, reason")
    return bars("Refused by key", units.RequestsPerSecond, Query(found, "{{key}}: {{reason}}")).description(
        about(
            "Requests refused per second, by the right of the key that was exceeded.",
            normal="None, or few: clients wait as long as they are told to.",
            otherwise="The limit is too low for what the key is for, or its client asks again without waiting.",
        )
    )


def cached() -> Panel:
    found = share(rate(daemon("mlxd_key_prompt_tokens_total", source="cached"), "key"), rate(daemon("mlxd_key_prompt_tokens_total"), "key"))
    return (
        lines("Prompt tokens found in the cache, by key", units.PercentUnit, Query(found, "{{key}}"))
        .max(1)
        .description(
            about(
                "Share of each key's prompt tokens that the prefix cache had.",
                normal="High for agents, which send all they have said again.",
                otherwise="A client whose prompts begin differently each time: a date, an id, another order of tools.",
            )
        )
    )
