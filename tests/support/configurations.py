"""Hypothesis strategies of valid configurations, as documents: what a TOML file holds, in dictionaries.

Every field is drawn from a few values, some of them the same in other words (``"1s"``, ``"1000ms"``), so that two documents agree in much
and differ in little. Secrets all contain ``SECRET``.
"""

import copy
from functools import cache
from pathlib import Path
from typing import get_args

import tomli_w
from hypothesis import strategies as st

from mlxd.config.loader import parse_config
from mlxd.config.values import ReasoningShapeName, ToolShapeName

SECRET = "sesame"
PATH = Path("/etc/mlxd/mlxd.toml")

_keys = st.sampled_from([f"{SECRET}-{number}" for number in range(4)])
_hosts = st.lists(st.sampled_from(["mlx.example", "192.0.2.7", "[2001:db8::7]"]), max_size=2)
_texts = st.sampled_from(["10s", "10000ms", "90s", "1h"])
_sizes = st.sampled_from(["1GiB", "1024MiB", "3GB"])
_shares = st.sampled_from(["auto", "25%", "80%", "1GiB", "1024MiB"])
_counts = st.sampled_from([1, 7, 512])
_fractions = st.sampled_from([0.5, 0.25, 1.0, 1])
_penalties = st.sampled_from([0, 0.5, -1.5])

_certificates = st.sampled_from([{"certificate": file, "key": "tls.key"} for file in ("tls.pem", "./tls.pem", "/etc/tls.pem")])

MEDIA = {
    "allow_http": st.booleans(),
    "allowed_hosts": st.lists(st.sampled_from(["*", "*.example.com", "cdn.example", "minio.internal:9000"]), max_size=2),
    "max_bytes": st.sampled_from(["1MiB", "1024KiB", "32MiB"]),
    "max_pixels": _counts,
    "max_images": _counts,
    "max_frames": _counts,
    "timeout": _texts,
}

# By table: a strategy for each field that has no business with other fields.
TOP_TABLES = {
    "server": {
        "api_keys": st.lists(_keys, max_size=2),
        "allowed_hosts": _hosts,
        "cors_origins": st.lists(st.sampled_from(["https://chat.example", "http://[::1]:3000"]), max_size=2),
        "request_timeout": _texts,
        "max_body": _sizes,
        "sse_keepalive": _texts,
        "unknown_fields": st.sampled_from(["refuse", "ignore", [], ["hint", "tool_addition"]]),
        "volatile_prefixes": st.lists(st.sampled_from(["x-anthropic-billing-header:", "x-billing:"]), max_size=2),
        "drain_timeout": _texts,
        "tls": _certificates,
        "media": st.fixed_dictionaries({}, optional=MEDIA),
    },
    "admin": {"allowed_hosts": _hosts, "tls": _certificates},
    "log": {
        "level": st.sampled_from(["debug", "info", "warning"]),
        "format": st.sampled_from(["auto", "console", "json"]),
        "file": st.sampled_from(["", "mlxd.log", "./mlxd.log", "/var/log/mlxd.log"]),
        "content": st.booleans(),
    },
    "metrics": {"enabled": st.booleans(), "vllm_compat": st.booleans(), "tls": _certificates},
    "tracing": {
        "enabled": st.booleans(),
        "endpoint": st.sampled_from(["http://127.0.0.1:4318/v1/traces", "https://collector.example/otlp/v1/traces"]),
        "sample_ratio": _fractions,
        "service_name": st.sampled_from(["mlxd", "mlxd-a"]),
    },
    "memory": {
        "limit": _shares,
        "wired_limit": _sizes,
        "pressure": st.sampled_from(["auto", "off"]),
        "large_prompt": _counts,
        "patience": _texts,
        "max_waiting": _counts,
    },
}
# Whole tables: a directory has one limit, whoever names it.
DISKS = [
    {"path": path, "limit": "20GiB", "write_budget": budget} for path in ("blocks", "/etc/mlxd/blocks") for budget in ("1GiB", "1024MiB")
]
DISKS += [{"path": "/var/cache/mlxd", "limit": "3GB", "write_budget": "20GB"}, {"path": "", "limit": "1GiB", "write_budget": "1GiB"}]
_PROMPT = str(Path(__file__).parents[1] / "unit" / "config" / "pinned" / "prompts" / "support.txt")
_pins = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["a", "b.c"]), "prompt_file": st.just(_PROMPT)}, optional={"form": st.sampled_from(["system", "text"])}
    ),
    max_size=2,
    unique_by=lambda pin: pin["name"],
)
KEY_FIELDS = {
    "models": st.lists(st.sampled_from(["*", "qwen*", "a*b"]), max_size=2),
    "max_concurrent": _counts,
    "requests_per_minute": _counts,
    "tokens_per_minute": _counts,
    "priority": st.sampled_from([0, -3, 7]),
    "cache_salt": st.sampled_from(["own", "shared"]),
    "cache_quota": st.sampled_from(["10%", "0.1GiB", "5.0%"]),
}
MODEL_TABLES = {
    "batching": {
        "max_queue": _counts,
        "stream_interval": _counts,
        "max_sequences": _counts,
        "step_tokens": _counts | st.just("auto"),
        "target_itl": _texts,
        "compile": st.sampled_from(["auto", "on", "off"]),
        "priority_ageing": _texts,
        "attention": st.sampled_from(["auto", "rows", "gather", "kernel"]),
    },
    "cache": {
        "memory": _shares,
        "max_entries": _counts,
        "block_size": _counts,
        "dtype": st.sampled_from(["auto", "model", "int8"]),
        "media": st.sampled_from(["10%", "64MiB"]),
        "disk": st.sampled_from(DISKS),
        "pin": _pins,
    },
    "lifecycle": {
        "load": st.sampled_from(["eager", "lazy"]),
        "idle_unload": _texts | st.just("never"),
        "pin": st.booleans(),
        "residence": _texts,
        "turn": _texts | st.just("never"),
    },
    "worker": {
        "heartbeat_interval": st.sampled_from(["1s", "1000ms", "500ms"]),
        "hang_timeout": _texts,
        "load_timeout": _texts,
        "restart_backoff": st.sampled_from(["1s", "2s"]),
        "restart_backoff_max": _texts,
        "crash_limit": _counts,
        "crash_window": _texts,
    },
    "sampling": {
        "temperature": _fractions,
        "top_p": _fractions,
        "top_k": _counts,
        "min_p": _fractions,
        "repetition_penalty": _fractions,
        "presence_penalty": _penalties,
        "frequency_penalty": _penalties,
        "max_tokens": _counts,
    },
    "input": {"special_tokens": st.booleans()},
    "output": {
        "tools": st.sampled_from(get_args(ToolShapeName)),
        "reasoning": st.sampled_from(get_args(ReasoningShapeName)),
        "strict_tools": st.booleans(),
    },
    "speculation": {
        "kind": st.sampled_from(["auto", "off"]),
        "draft": st.sampled_from(["org/small", "org/smaller@main"]),  # never a model itself, which is refused
        "max_tokens": st.sampled_from([1, 15, 64]),
    },
}
MODEL_FIELDS = {
    "dtype": st.sampled_from(["auto", "float32", "bfloat16"]),
    "task": st.sampled_from(["auto", "generate"]),  # what encodes has no use for most other fields, and refuses its own
    "context_length": st.sampled_from([2048, 4096]),
    "adapter_memory": _sizes,
}
ADAPTER_FIELDS = {
    "source": st.sampled_from(["org/lora", "org/lora@main", "./lora", "/etc/mlxd/lora"]),
    "aliases": st.just([]) | st.sampled_from([["small"], ["gpt-4"]]),
    "load": st.sampled_from(["eager", "lazy"]),
    "pin": st.booleans(),
}

_TCP = ["127.0.0.1:7001", "127.0.0.1:7002", "[::1]:7001", "localhost:7003", "127.0.0.1:0"]
_ADDRESSES = [*_TCP, "unix:/run/mlxd/a.sock", "unix:/run/mlxd/b.sock"]
_addresses = st.sampled_from(_ADDRESSES) | st.lists(st.sampled_from(_ADDRESSES), min_size=1, max_size=3, unique=True)
_NAMES = ["qwen3", "llama", "a:b", "org/name.v1", "mine"]
_modes_and_kinds = st.sampled_from(
    [("simple", "auto"), ("simple", "entries"), ("simple", "none"), ("continuous", "auto"), ("continuous", "paged"), ("continuous", "none")]
)
_names = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=4, unique=True)
_aliases = st.lists(st.sampled_from(["default", "gpt-4", "small"]), max_size=2)
_key_names = st.sampled_from(["agents", "people", "b.c"])
_adapter_names = st.sampled_from(["sql", "b.c"])
_tokens = st.sampled_from([{}, {"token": f"{SECRET}-admin"}, {"token": f"{SECRET}-new", "read_token": f"{SECRET}-read"}])
_sources = st.sampled_from(["org/name", "org/name@main", "org/other", "./local", "/etc/mlxd/local", "builtin:smollm2-135m"])


def load(document):
    """As the daemon would, from a file at ``PATH``."""
    return parse_config(text_of(document), PATH, {})


def text_of(document):
    return tomli_w.dumps(document)


@st.composite
def configurations(draw, like=None):
    """A document; with ``like``, one that has about half of its parts from there."""
    like = like or {}

    def part(strategy, *names):
        of_before = like
        for name in names:
            of_before = of_before.get(name, {})
        return copy.deepcopy(of_before) if of_before and draw(st.booleans()) else draw(strategy)

    document = {name: part(_top_table(name), name) for name in TOP_TABLES}
    document["defaults"] = part(_model_tables(), "defaults")
    names = part(_names, "models")
    document["models"] = {name: part(_model(), "models", name) for name in names}
    return _consistent(document)


@st.composite
def pairs(draw):
    """Two documents: unrelated, or the second an edit of the first."""
    before = draw(configurations())
    return before, draw(configurations() | configurations(like=before))


@cache
@st.composite
def _top_table(draw, name):
    table = draw(_some_of(TOP_TABLES[name]))
    if name in ("server", "admin", "metrics"):
        table |= draw(_some_of({"listen": _addresses}))
    if name == "server":
        table |= draw(_some_of({"keys": st.lists(_named_key(), max_size=3)}))
    if name == "admin":
        table |= draw(_tokens)
    return table


@cache
@st.composite
def _named_key(draw):
    name = draw(_key_names)
    return {"name": name, "key": f"{SECRET}-of-{name}-{draw(st.integers(0, 1))}"} | draw(_some_of(KEY_FIELDS))


@cache
@st.composite
def _model(draw):
    model = draw(_some_of(MODEL_FIELDS | {"aliases": _aliases}))
    if draw(st.booleans()):
        model["adapters"] = draw(st.dictionaries(_adapter_names, _adapter(), max_size=2))
    return {"source": draw(_sources)} | model | draw(_model_tables())


@cache
@st.composite
def _adapter(draw):
    others = {name: strategy for name, strategy in ADAPTER_FIELDS.items() if name != "source"}
    return {"source": draw(ADAPTER_FIELDS["source"])} | draw(_some_of(others))


@cache
@st.composite
def _model_tables(draw):
    """What a model has in common with ``[defaults]``."""
    tables = {name: draw(_some_of(fields)) for name, fields in MODEL_TABLES.items() if draw(st.booleans())}
    if draw(st.booleans()):
        mode, kind = draw(_modes_and_kinds)
        tables.setdefault("batching", {})["mode"] = mode
        tables.setdefault("cache", {})["kind"] = kind
    return tables


def _some_of(fields):
    return _optional(tuple(fields.items()))


@cache
def _optional(fields):
    """Made once: Hypothesis looks through all that a strategy is made of before it draws from it for the first time."""
    return st.fixed_dictionaries({}, optional=dict(fields))


def _consistent(document):
    """Without the addresses, aliases and names that stand somewhere else already, certificates that nobody would be shown, and draft models
    and ways to compute that are of no use.
    """
    if "keys" in document["server"]:
        document["server"]["keys"] = list({table["name"]: table for table in document["server"]["keys"]}.values())
    taken = set()
    for role in ("server", "admin", "metrics"):
        listen = document[role].pop("listen", [])
        free = [address for address in ([listen] if isinstance(listen, str) else listen) if address not in taken]
        taken |= set(free)
        if free:
            document[role]["listen"] = free[0] if isinstance(listen, str) else free
        if not any(address in _TCP for address in free) and (free or role != "server"):  # by itself only inference has a TCP address
            document[role].pop("tls", None)
    names = set(document["models"])
    for model in document["models"].values():
        if "aliases" in model:
            model["aliases"] = [alias for alias in dict.fromkeys(model["aliases"]) if alias not in names]
            names |= set(model["aliases"])
        if not _is_paged(model, document["defaults"]) or model.get("speculation", {}).get("draft") == model["source"]:
            model.get("speculation", {}).pop("draft", None)  # of its own it would be refused, of all models it is passed over
        if not _is_paged(model, document["defaults"]):
            for field in ("attention", "compile"):
                model.get("batching", {}).pop(field, None)  # likewise
            model.get("cache", {}).pop("disk", None)
            model.get("cache", {}).pop("dtype", None)
            model.get("cache", {}).pop("pin", None)
            model.pop("adapters", None)
    _drop_known_aliases(document, names)
    _drop_vain_quotas(document)
    return document


def _drop_known_aliases(document, names):
    """Takes from adapters what is the name of something else already."""
    for adapter in [adapter for model in document["models"].values() for adapter in model.get("adapters", {}).values()]:
        if "aliases" in adapter:
            adapter["aliases"] = [alias for alias in adapter["aliases"] if alias not in names]
            names |= set(adapter["aliases"])


def _drop_vain_quotas(document):
    """A quota is refused where none of the models that its key may ask for has a paged cache."""
    if not all(_is_paged(model, document["defaults"]) for model in document["models"].values()):
        for key in document["server"].get("keys", ()):
            key.pop("cache_quota", None)


def _is_paged(model, defaults):
    mode, kind = (
        next((at[table][name] for at in (model, defaults) if name in at.get(table, {})), otherwise)
        for table, name, otherwise in (("batching", "mode", "simple"), ("cache", "kind", "auto"))
    )
    return mode == "continuous" and kind in {"auto", "paged"}
