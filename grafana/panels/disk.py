"""What is kept of caches on disk: how much, what it is good for, what goes wrong."""

from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units

from grafana.promql import model, rate, total
from grafana.style import BAD, GOOD, NEUTRAL, QUIET, TOKENS_PER_SECOND, WARNING, Query, about, areas, bars, colored, lines, texts, timeline

_CODES = {"opening": 1, "read_only": 2, "off": 3}
_STATES = texts((0, "ON", GOOD), (1, "OPENING", NEUTRAL), (2, "READ ONLY", WARNING), (3, "OFF", BAD))


def states() -> StateTimeline:
    states = (f"{code} * {model('mlxd_cache_disk_state', state=state)}" for state, code in _CODES.items())
    code = total("\n  " + "\n  or ".join(states) + "\n", "job, instance, model")
    return (
        timeline("Caches on disk", Query(code, "{{model}}"), _STATES)
        .span(12)
        .description(
            about(
                "Whether each model's cache on disk can be used.",
                normal="ON throughout.",
                otherwise="READ ONLY: the disk is full. OFF: it fails, hangs, or is not there. `mlxd cache` has the reason.",
            )
        )
    )


def size() -> Panel:
    queries = [
        Query(total(model("mlxd_cache_disk_bytes"), "model"), "{{model}}"),
        Query(f"max ({model('mlxd_cache_disk_directory_bytes')})", "largest directory"),
        Query(f"max ({model('mlxd_cache_disk_limit_bytes')})", "highest limit"),
    ]
    return (
        lines("Kept on disk", units.BytesIEC, *queries)
        .span(12)
        .description(
            about(
                "What each model has on disk; and what a directory takes, whose limit holds over all its models.",
                normal="It grows to `cache.disk.limit` and stays there, a little below.",
                otherwise="Nothing at all: nothing leaves memory yet, or it is not on.",
            )
        )
    )


def blocks() -> Panel:
    queries = [
        Query(rate(model(f"mlxd_cache_disk_{name}_blocks_total")), legend)
        for name, legend in {"read": "read", "missed": "missed", "written": "written", "evicted": "removed for others"}.items()
    ]
    panel = lines("Blocks to and from disk", units.EventsPerSecond, *queries)
    return colored(panel, {"read": GOOD, "missed": WARNING, "written": NEUTRAL, "removed for others": QUIET}).description(
        about(
            "Blocks read instead of computed, written, and removed to make room, per second.",
            normal="Reads after a restart, and when a conversation comes back after a while.",
            otherwise="Many removed and few read: what comes back is gone by then. Raise `cache.disk.limit`.",
        )
    )


def traffic() -> Panel:
    queries = [Query(rate(model(f"mlxd_cache_disk_{name}_bytes_total")), name) for name in ("read", "written")]
    queries.append(Query(total(model("mlxd_cache_disk_queued_bytes")), "waiting to be written"))
    return colored(lines("Bytes to and from disk", units.BytesIEC, *queries), {"read": GOOD, "written": NEUTRAL}).description(
        about(
            "Bytes per second; and what waits in memory to be written.",
            normal="Writes in bursts, never more in an hour than `cache.disk.write_budget`.",
            otherwise="The queue stays full: the disk is slower than what leaves memory, and the rest is dropped.",
        )
    )


def trouble() -> Panel:
    queries = [
        Query(rate(model("mlxd_cache_disk_dropped_blocks_total"), "reason"), "not written: {{reason}}"),
        Query(rate(model("mlxd_cache_disk_lost_blocks_total")), "left memory too fast"),
        Query(rate(model("mlxd_cache_disk_errors_total"), "kind"), "error: {{kind}}"),
    ]
    return bars("Not written, and errors", units.EventsPerSecond, *queries).description(
        about(
            "Blocks that were not written, by why; and what went wrong, by when.",
            normal="None; `queue` and `budget` in bursts.",
            otherwise="`budget`: raise `cache.disk.write_budget`. `corrupt`: the disk returns what was not written.",
        )
    )


def hits() -> Panel:
    found = rate(model("mlxd_cache_disk_hit_tokens_total"), "model")
    return (
        lines("Prompt tokens read from disk", TOKENS_PER_SECOND, Query(found, "{{model}}"))
        .span(12)
        .description(
            about(
                "Tokens of prompts, per second, that were read instead of computed.",
                normal="After a restart, and when conversations come back that memory has given up.",
                otherwise="None, while much is written: nothing that leaves memory is ever asked for again.",
            )
        )
    )


def held() -> Panel:
    return areas("Blocks on disk", units.Short, Query(total(model("mlxd_cache_disk_blocks"), "model"), "{{model}}")).description(
        about(
            "Blocks of each model that would be found.",
            normal="Many more than memory holds.",
            otherwise="Few, and many bytes: its blocks are large, or others share the directory.",
        )
    )
