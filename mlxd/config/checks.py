"""What one field alone cannot tell: names that clash, listeners that are open, settings that contradict each other."""

import importlib.metadata
from collections.abc import Iterator

import psutil

from mlxd.config.adapter_checks import check_adapters
from mlxd.config.address import Address, TcpAddress
from mlxd.config.disk_checks import check_disks, is_paged
from mlxd.config.document import Document
from mlxd.config.key_checks import check_keys
from mlxd.config.keys import Key, dotted
from mlxd.config.name_checks import check_names
from mlxd.config.pin_checks import check_pins
from mlxd.config.problems import Problem, shown
from mlxd.config.schema import Config, ModelTable, TlsTable
from mlxd.config.task_checks import check_tasks
from mlxd.config.units import format_duration, format_size

_LISTENERS = ("server", "admin", "metrics")
_KEYS: tuple[Key, ...] = (("server", "api_keys"), ("server", "keys"))
_PAGED_ONLY = {("batching", "attention"): ("auto",), ("batching", "compile"): ("auto", "off"), ("cache", "dtype"): ("auto", "model")}
_TOKEN: tuple[Key, ...] = (("admin", "token"),)


def check(config: Config, document: Document) -> Iterator[Problem]:
    """Yields every contradiction of ``config``, which is valid field by field."""
    yield from _models_exist(document)
    yield from check_names(config, document)
    for name, model in config.models.items():
        yield from _worker_times_agree(name, model, document)
        if not model.encodes:
            yield from _cache_fits_mode(name, model, document)
            yield from _guesses_are_verified(name, model, document)
            yield from _steps_are_paged(name, model, document)
    yield from check_tasks(config, document)
    yield from check_disks(config, document)
    yield from check_pins(config, document)
    yield from check_adapters(config, document)
    yield from _sizes_are_of_this_machine(config, document)
    yield from _addresses_are_unique(config, document)
    yield from _open_listeners_are_guarded(config, document)
    yield from _any_origin_needs_keys(config)
    yield from _read_token_restricts(config)
    yield from check_keys(config, document)
    yield from _certificates_are_used(config)
    yield from _tracing_is_installed(config)


def _models_exist(document: Document) -> Iterator[Problem]:
    if document.values.get("models", {}) == {}:
        yield Problem(("models",), 'no model is configured; add one, for example [models.smollm2] with source = "builtin:smollm2-135m"')


def _cache_fits_mode(name: str, model: ModelTable, document: Document) -> Iterator[Problem]:
    kind, mode = document.origin(name, "cache", "kind"), document.origin(name, "batching", "mode")
    if model.cache.kind == "paged" and model.batching.mode != "continuous":
        text = 'found "paged", which needs batching.mode = "continuous"; with "simple" use "auto", "entries" or "none"'
        yield Problem(kind, text, (kind, mode))


def _guesses_are_verified(name: str, model: ModelTable, document: Document) -> Iterator[Problem]:
    """Reports speculation, or a draft model of its own, that a model without a paged cache was asked for, a draft model of its own that is
    the model itself, and one that is asked for and not named. That of all models is passed over by those that have no use for it.
    """
    kind, draft = document.origin(name, "speculation", "kind"), document.origin(name, "speculation", "draft")
    asked, source = model.speculation.kind, model.speculation.draft
    paged = is_paged(model)
    is_own = draft in document.lines and draft[0] == "models"
    if asked in {"lookup", "draft"} and not paged:
        text = f'found "{asked}", which needs batching.mode = "continuous" and cache.kind = "paged"; elsewhere use "auto" or "off"'
        yield Problem(kind, text, (kind,))
    if source is not None and is_own and not paged:
        text = f'found {shown(source)}, which needs batching.mode = "continuous" and cache.kind = "paged"; elsewhere remove it'
        yield Problem(draft, text, (draft,))
    if source == model.source and is_own and paged:
        text = f"found {shown(source)}, the model itself, whose guesses would take as long as its tokens; name a smaller one"
        yield Problem(draft, text, (draft,))
    if asked == "draft" and source is None:
        yield Problem(kind, 'found "draft" without a draft model; set speculation.draft, or use "lookup" or "auto"', (kind, draft))


def _steps_are_paged(name: str, model: ModelTable, document: Document) -> Iterator[Problem]:
    """Reports a way to attend, or to compile, or a type of keys and values, of its own that a model without a paged cache was asked for.
    Those of all models are passed over by those that have no use for them.
    """
    for (table, field), kept in _PAGED_ONLY.items():
        key, value = ("models", name, table, field), getattr(getattr(model, table), field)
        if value not in kept and key in document.lines and not is_paged(model):
            rest = " or ".join(map(shown, kept))
            text = f'found {shown(value)}, which needs batching.mode = "continuous" and cache.kind = "paged"; elsewhere use {rest}'
            yield Problem(key, text, (key,))


def _worker_times_agree(name: str, model: ModelTable, document: Document) -> Iterator[Problem]:
    def compared(shorter: str, longer: str, rule: str) -> Problem:
        keys = document.origin(name, "worker", longer), document.origin(name, "worker", shorter)
        found = " and ".join(f"{field} ({_text(getattr(model.worker, field))})" for field in (shorter, longer))
        return Problem(next((key for key in keys if key in document.lines), keys[0]), f"found {found}; {rule}", keys)

    times = model.worker
    if times.restart_backoff > times.restart_backoff_max:
        yield compared("restart_backoff", "restart_backoff_max", "the first wait must not be longer than the longest")
    if times.hang_timeout < 2 * times.heartbeat_interval:
        rule = "a worker may be called hung after two missed heartbeats at the earliest"
        yield compared("heartbeat_interval", "hang_timeout", rule)


def _text(seconds: float) -> str:
    return shown(format_duration(seconds))


def _addresses(config: Config, document: Document) -> Iterator[tuple[Key, Address]]:
    """Yields every listen address at its key: of the item where an array was written."""
    for listener in _LISTENERS:
        key: Key = (listener, "listen")
        for position, address in enumerate(getattr(config, listener).listen or ()):
            item = (*key, position)
            yield (item if item in document.lines else key), address


def _sizes_are_of_this_machine(config: Config, document: Document) -> Iterator[Problem]:
    """A slip in the unit, mostly; it would be noticed when a model has loaded, or when the machine swaps."""
    sizes: dict[Key, int | None] = {("server", "max_body"): config.server.max_body, ("memory", "limit"): config.memory.limit.size}
    for name, model in config.models.items():
        sizes.setdefault(document.origin(name, "cache", "memory"), model.cache.memory.size)
    ram = machine_memory()
    for key, size in sizes.items():
        if size is not None and size > ram:
            found = f"found {shown(format_size(size))}, more than this machine's memory"
            yield Problem(key, f"{found}; must be at most {shown(format_size(ram >> 20 << 20))}", (key,))


def machine_memory() -> int:
    """Returns the machine's RAM in bytes."""
    return psutil.virtual_memory().total


def _addresses_are_unique(config: Config, document: Document) -> Iterator[Problem]:
    owners: dict[tuple[Address, str | int], Key] = {}
    for key, address in _addresses(config, document):
        system_chooses = isinstance(address, TcpAddress) and address.port == 0  # each listener gets its own, but twice in one is once
        identity = address, key[0] if system_chooses else ""
        if identity in owners:
            owner = owners[identity]
            text = f"found {shown(str(address))}, where {dotted(owner)} listens already; give each listener an address of its own"
            yield Problem(key, text, (key, owner))
        owners.setdefault(identity, key)


def _open_listeners_are_guarded(config: Config, document: Document) -> Iterator[Problem]:
    guards = {
        "server": (_has_keys(config), _KEYS, 'set server.api_keys, for example ["env:MLXD_API_KEY"],'),
        "admin": (bool(config.admin.token), _TOKEN, 'set admin.token, for example "env:MLXD_ADMIN_TOKEN",'),
        "metrics": (bool(config.admin.token), _TOKEN, "set admin.token, and admin.read_token for Prometheus,"),
    }
    for key, address in _addresses(config, document):
        guarded, guard, advice = guards[str(key[0])]
        if not guarded and not address.is_loopback:
            text = f"found {shown(str(address))}, which other machines can reach; {advice} or listen on 127.0.0.1"
            yield Problem(key, text, (key, *guard))


def _has_keys(config: Config) -> bool:
    return bool(config.server.api_keys or config.server.keys)


def _any_origin_needs_keys(config: Config) -> Iterator[Problem]:
    for anybody in {"*", "null"}.intersection(config.server.cors_origins) if not _has_keys(config) else ():
        key: Key = ("server", "cors_origins", config.server.cors_origins.index(anybody))
        text = f'found "{anybody}", so that any web page the user opens could use mlxd; set server.api_keys, or list the origins'
        yield Problem(key, text, (key, *_KEYS))


def _read_token_restricts(config: Config) -> Iterator[Problem]:
    key, token = ("admin", "read_token"), ("admin", "token")
    if config.admin.read_token and not config.admin.token:
        yield Problem(key, "set without admin.token, so that everyone could do everything; set admin.token as well", (key, token))
    if config.admin.read_token and config.admin.read_token == config.admin.token:
        yield Problem(key, "the same as admin.token; must be another one, for it may only read", (key, token))


def _certificates_are_used(config: Config) -> Iterator[Problem]:
    """Reports half a pair, and a pair that no connection would ever see: nothing is accepted and not applied."""
    metrics_inherit = bool(config.metrics.listen) and not config.metrics.tls.certificate
    listening = {
        "server": config.server.listen,
        "admin": (*config.admin.listen, *((config.metrics.listen or ()) if metrics_inherit else ())),
        "metrics": config.metrics.listen or (),
    }
    for listener, addresses in listening.items():
        tls: TlsTable = getattr(config, listener).tls
        certificate, key = (listener, "tls", "certificate"), (listener, "tls", "key")
        if bool(tls.certificate) != bool(tls.key):
            there, missing = (certificate, key) if tls.certificate else (key, certificate)
            yield Problem(there, f"set without {dotted(missing)}; set both, or neither", (certificate, key))
        elif tls.certificate and not any(isinstance(address, TcpAddress) for address in addresses):
            text = f"set, and {listener}.listen has no TCP address that would use it; unix sockets need no TLS: remove it"
            yield Problem(certificate, text, (certificate, (listener, "listen")))


def _tracing_is_installed(config: Config) -> Iterator[Problem]:
    if config.tracing.enabled and not tracing_extra():
        key: Key = ("tracing", "enabled")
        text = 'found true, which needs OpenTelemetry; install it with pip install "mlxd[tracing]", or set it to false'
        yield Problem(key, text, (key,))


def tracing_extra() -> bool:
    """Tells whether ``mlxd[tracing]`` is installed, without importing anything of it."""
    try:
        importlib.metadata.version("opentelemetry-exporter-otlp-proto-http")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
