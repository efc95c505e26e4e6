"""Which panels of the overview are in the picture, and where."""

COLUMNS = 24  # as in Grafana

# Height in pixels, and the titles of the panels with their width in columns.
ROWS: list[tuple[int, dict[str, int]]] = [
    (96, dict.fromkeys(["Daemon", "Models", "Configuration", "Failing requests", "Worker restarts", "Memory pressure"], 4)),
    (96, dict.fromkeys(["Requests", "Tokens computed", "TTFT p95", "ITL p95", "KV cache in use", "Memory reserved"], 4)),
    (250, dict.fromkeys(["Requests by outcome", "Refused and failed, by reason", "Running and waiting"], 8)),
    (250, dict.fromkeys(["Time to first token", "Time between tokens", "Where the time goes"], 8)),
    (250, dict.fromkeys(["Time to first token, all of it", "Time between tokens, all of it", "Duration, all of it"], 8)),
    (250, dict.fromkeys(["Prompt tokens by source", "Tokens computed by model", "Sequences in a step"], 8)),
    (250, dict.fromkeys(["Blocks", "Prompt tokens found in the cache", "Keys and values"], 8)),
    (210, {"States": 16, "Reloads by result": 8}),
]
