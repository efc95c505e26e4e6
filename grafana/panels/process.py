"""The configuration, and the daemon's own process."""

from grafana_foundation_sdk.builders.stat import Panel as Tile
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units

from grafana.promql import daemon, increase, rate, share, total
from grafana.style import (
    BAD,
    GOOD,
    NEUTRAL,
    PERCENTILE_COLORS,
    PERCENTILES,
    QUIET,
    WARNING,
    Query,
    about,
    bars,
    colored,
    grid,
    lines,
    steps,
    tile,
)

RESULTS = {"applied": GOOD, "unchanged": QUIET, "failed": BAD, "invalid": WARNING, "refused": BAD, "stale": NEUTRAL}


def reloads() -> Panel:
    counted = increase(daemon("mlxd_config_reloads_total"), "result")
    return colored(bars("Reloads by result", units.Short, Query(f"{counted} > 0", "{{result}}")), RESULTS).description(
        about(
            "Reloads of the configuration within each interval.",
            normal="`applied` and `unchanged`.",
            otherwise="`invalid`: `mlxd validate`. `refused`: memory or an address is missing. `failed`: a model did not come up.",
        )
    )


def age() -> Tile:
    since = f"time() - max ({daemon('mlxd_config_last_reload_success_timestamp_seconds')})"
    return tile("Age of the configuration", units.Seconds, Query(since)).description(
        about(
            "How long ago the running configuration was taken over.",
            normal="As old as your last change.",
            otherwise="Older: see the reloads.",
        )
    )


def uptime() -> Tile:
    return (
        tile("Uptime", units.Seconds, Query(f"time() - max ({daemon('process_start_time_seconds')})"))
        .thresholds(steps(WARNING, (300, NEUTRAL)))
        .description(
            about(
                "How long ago the daemon started: the youngest of the chosen ones.",
                normal="As old as your last upgrade.",
                otherwise="Minutes, and nobody upgraded: it ended. See the system's log (launchd, systemd).",
            )
        )
    )


def loop_lag() -> Panel:
    summed = rate(daemon("mlxd_event_loop_lag_seconds_bucket"), "le")
    queries = [Query(f"histogram_quantile({q}, {summed})", name) for q, name in PERCENTILES.items()]
    return colored(lines("Event-loop lag", units.Seconds, *queries), PERCENTILE_COLORS).description(
        about(
            "How late the daemon's event loop runs its timers: everything it does is later by as much.",
            normal="Milliseconds.",
            otherwise="The machine has no CPU left for the daemon; or something blocks it, which is a bug.",
        )
    )


def file_descriptors() -> Panel:
    used = share(daemon("process_open_fds"), daemon("process_max_fds"))
    return (
        lines("File descriptors in use", units.PercentUnit, Query(f"max by (instance) ({used})", "{{instance}}"))
        .max(1)
        .description(
            about(
                "Open files and sockets of the daemon, of those it may have.",
                normal="A few percent: one for each connection.",
                otherwise="Clients that leave connections open, or a limit that is too low (`ulimit -n`).",
            )
        )
    )


def cpu() -> Panel:
    used = rate(daemon("process_cpu_seconds_total"), "instance")
    return lines("Daemon's CPU", units.PercentUnit, Query(used, "{{instance}}")).description(
        about(
            "CPU time of the daemon's one process; 100 % is one core. Models have processes of their own.",
            normal="A few percent.",
            otherwise="Near 100 %: very many streams, or small deltas: raise `batching.stream_interval`.",
        )
    )


def memory() -> Panel:
    found = Query(total(daemon("process_resident_memory_bytes"), "instance"), "{{instance}}")
    return lines("Daemon's memory", units.BytesIEC, found).description(
        about("Memory of the daemon itself, which holds no model.", normal="Flat, about 100 MiB.", otherwise="Growing: tell us.")
    )


def versions() -> Table:
    queries = [
        Query(f"max by (instance, version, mlx, mlx_lm) ({daemon('mlxd_build_info')})", "Build"),
        Query(f"max by (instance, hash) ({daemon('mlxd_config_info')})", "Configuration"),
    ]
    return (
        grid("Versions", *queries)
        .height(5)
        .span(16)
        .unit(units.String)
        .description(
            about(
                "What each instance runs: mlxd, MLX, mlx-lm, and the SHA-256 of its configuration.",
                normal="The same everywhere.",
                otherwise="One instance that differs was not upgraded, or has another file.",
            )
        )
    )


def dropped_log_lines() -> Panel:
    counted = increase(daemon("mlxd_log_lines_dropped_total"), "instance")
    return bars("Dropped log lines", units.Short, Query(counted, "{{instance}}")).description(
        about(
            "Lines of the daemon's log that could not be written. It goes on without them.",
            normal="None.",
            otherwise="The log's disk is full, its directory is gone, or nobody reads standard error. `log_lines_dropped` has the reason.",
        )
    )
