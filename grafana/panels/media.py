"""Pictures and films: how many are looked at, what encoding them takes, what is kept of them."""

from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units

from grafana.promql import model, rate, total
from grafana.style import BAD, GOOD, NEUTRAL, QUIET, TOKENS_PER_SECOND, WARNING, Query, about, areas, bars, colored, lines


def seen() -> Panel:
    panel = bars("Pictures and films", units.RequestsPerSecond, Query(rate(model("mlxd_media_total"), "kind"), "{{kind}}"))
    return colored(panel, {"image": NEUTRAL, "video": GOOD}).description(
        about(
            "Pictures and films of prompts, per second.",
            normal="As many as clients show. Those of earlier turns count in each turn.",
            otherwise="None: no model that sees is asked about any.",
        )
    )


def tokens() -> Panel:
    found = rate(model("mlxd_media_tokens_total"), "model")
    return lines("Prompt tokens of pictures", TOKENS_PER_SECOND, Query(found, "{{model}}")).description(
        about(
            "Tokens of prompts, per second, that stand for pictures and films: computed, or found in the prefix cache.",
            normal="Some hundreds to thousands for each picture, more for a film.",
            otherwise="More than it was: larger pictures, or more frames (`server.media.max_pixels`, `server.media.max_frames`).",
        )
    )


def encoding() -> Panel:
    spent = rate(model("mlxd_media_encode_seconds_total"), "model")
    return lines("Time spent encoding", units.PercentUnit, Query(spent, "{{model}}")).description(
        about(
            "The share of its time in which a model's worker encodes pictures. Beside streams that is bounded by `batching.target_itl`.",
            normal="Short, for each picture that is shown the first time.",
            otherwise="Most of the time: pictures come faster than they can be encoded, and wait. Let clients send smaller ones.",
        )
    )


def lookups() -> Panel:
    queries = [
        Query(rate(model("mlxd_media_cache_lookups_total"), "outcome"), "{{outcome}}"),
        Query(rate(model("mlxd_media_encodes_total", outcome="failed")), "failed"),
    ]
    return colored(areas("Encoded, or kept", units.RequestsPerSecond, *queries), {"hit": GOOD, "miss": QUIET, "failed": BAD}).description(
        about(
            "Pictures that the prefix cache did not have, by whether they were encoded already; and those that could not be.",
            normal="`miss` for every picture that is new; `hit` where several ask about one at once, or in other words.",
            otherwise="`failed`: each ends the requests that show it. The log has the reason.",
        )
    )


def kept() -> Panel:
    queries = [Query(total(model("mlxd_media_cache_bytes")), "kept"), Query(total(model("mlxd_media_cache_limit_bytes")), "limit")]
    return colored(lines("Kept of pictures", units.BytesIEC, *queries), {"kept": NEUTRAL, "limit": QUIET}).description(
        about(
            "What the embeddings of pictures take that were encoded, and what they may, unless running requests need more.",
            normal="It grows to the limit. While memory is short the limit is 0.",
            otherwise="At the limit, with many misses and evictions: raise `cache.media`.",
        )
    )


def evictions() -> Panel:
    panel = bars("Embeddings let go", units.EventsPerSecond, Query(rate(model("mlxd_media_cache_evictions_total")), "pictures"))
    return colored(panel, {"pictures": WARNING}).description(
        about(
            "Pictures and films whose embeddings were let go, per second.",
            normal="Some, once `cache.media` is full; all, while memory is short.",
            otherwise="Many, with many misses: what is let go comes back. Raise `cache.media`.",
        )
    )
