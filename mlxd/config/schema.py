"""The schema of ``mlxd.toml``: every table and field, its default, its meaning and its reload class.

``Config`` is one immutable snapshot. ``mlxd.config.loader`` makes it from a file, checks what one field alone
cannot tell (``checks.py``) and merges ``[defaults]`` into each model before validation.
"""

from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, Strict
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mlxd.config.adapter_table import AdapterTable
from mlxd.config.address import DEFAULT_ADMIN, default_admin_address, parse_address
from mlxd.config.fields import Reload, Table, setting, table, tables
from mlxd.config.key_table import KeyTable
from mlxd.config.keys import Key, OwnKeys
from mlxd.config.model_tables import (
    BatchingTable,
    CacheTable,
    InputTable,
    LifecycleTable,
    OutputTable,
    SamplingTable,
    SpeculationTable,
    WorkerTable,
)
from mlxd.config.source import Source
from mlxd.config.units import Duration, MemoryShare, Share, Size
from mlxd.config.values import (
    MOST,
    MOST_TOKENS,
    AdapterName,
    Addresses,
    Aliases,
    Endpoint,
    Hosts,
    LinePrefixes,
    MediaHosts,
    ModelName,
    Origins,
    ServiceName,
    Texts,
    UnknownFields,
)

MOST_MEDIA = 64 * 2**20  # bytes of one request's pictures and films: what a worker can be sent without holding others up


class TlsTable(Table):
    """TLS on the TCP addresses of a listener; unix sockets need none. Files that change are read again, connections go on."""

    certificate: str = setting(
        "",
        "PEM file: the server's certificate, then those that signed it; a relative path starts from this file's directory. Empty: no TLS.",
        reload=Reload.LIVE,
    )
    key: str = setting("", "PEM file: the certificate's private key, not encrypted.", reload=Reload.LIVE)


class MediaTable(Table):
    """Pictures and films that requests show to models which see them. What a URL names is fetched by the daemon."""

    allow_http: bool = setting(
        True, 'Fetch what "http://" and "https://" URLs name. false: pictures come as "data:" URLs, or as base64, only.', reload=Reload.LIVE
    )
    allowed_hosts: MediaHosts = setting(
        ("*",),
        'Hosts that are fetched from, also after redirects, at ports 80 and 443, or at that of "HOST:PORT": "*" is any, "*.example.com" '
        "any below that domain, both at public addresses only. A host that is named without a star may be anywhere, in this machine too.",
        reload=Reload.LIVE,
    )
    max_bytes: Size = setting(
        32 * 2**20,
        "Largest file of a picture or film. All media of one request may take 64MiB together; what is sent within a request is limited by "
        "server.max_body, too.",
        reload=Reload.LIVE,
        gt=0,
        le=MOST_MEDIA,
    )
    max_pixels: int = setting(
        64_000_000,
        "Most pixels of a picture, or of a frame of a film, before it is made smaller for the model. What has more is not decoded.",
        reload=Reload.LIVE,
        ge=1,
        le=MOST_TOKENS,
    )
    max_images: int = setting(64, "Most pictures and films of one request, in all of its conversation.", reload=Reload.LIVE, ge=0, le=MOST)
    max_frames: int = setting(
        128, "Most frames of one film that are looked at; of a longer one, so many in equal distances.", reload=Reload.LIVE, ge=1, le=MOST
    )
    timeout: Duration = setting(
        20.0, "Longest time that fetching one file may take, with the look-up of its host and all redirects.", reload=Reload.LIVE, gt=0
    )


class ServerTable(Table):
    """Clients send their requests for inference to this listener."""

    listen: Addresses = setting(
        (parse_address("127.0.0.1:8000"),),
        'Where to serve inference: "HOST:PORT", "unix:/path", or a list of them.',
        reload=Reload.LISTENER,
    )
    api_keys: Texts = setting(
        (),
        'Keys that may use inference, without names and limits: "env:NAME", "file:PATH" or the key itself. With server.keys empty too: '
        "open, on loopback and unix sockets only.",
        reload=Reload.LIVE,
        secret=True,
    )
    keys: Annotated[tuple[KeyTable, ...], Strict(strict=False)] = tables("Keys with names, limits and rights of their own.", secret=True)
    allowed_hosts: Hosts = setting(
        (),
        "Host names accepted in the Host header beside loopback names and the listen address (guards against DNS rebinding): a container's "
        "name, for one. HTTP/1.0 without a Host passes, for no browser sends it.",
        reload=Reload.LIVE,
    )
    cors_origins: Origins = setting(
        (),
        'Browser origins that may call, such as "https://chat.example", "https://*.example.com" for any name below it and '
        '"http://localhost:*" for any port; of desktop apps and extensions "app://obsidian.md", "tauri://localhost", '
        '"chrome-extension://*" for any of a scheme, "null" for pages without one. "*": any. "*" and "null" need keys. Empty: none.',
        reload=Reload.LIVE,
    )
    request_timeout: Duration = setting(600.0, "A request that takes longer is stopped with an error.", reload=Reload.LIVE, gt=0)
    max_body: Size = setting(32 * 2**20, "Largest request body.", reload=Reload.LIVE, gt=0)
    sse_keepalive: Duration = setting(
        15.0,
        "A stream that has nothing to say (queue, long prompt) sends a comment this often, so that proxies keep it open.",
        reload=Reload.LIVE,
        gt=0,
    )
    unknown_fields: UnknownFields = setting(
        "refuse",
        'A field of a request that no API has, or a block or item of a type that none has: "refuse" it by its name, or "ignore" it, which '
        'the answer\'s "warnings" and the log tell; or a list of the names of those to ignore.',
        reload=Reload.LIVE,
    )
    volatile_prefixes: LinePrefixes = setting(
        ("x-anthropic-billing-header:",),
        "Lines at the head of a system prompt that begin like one of these, in whatever case, are left out before it is rendered: a client "
        "changes them with each request, and nothing behind them would be found in the prefix cache. Empty: every line stays.",
        reload=Reload.LIVE,
    )
    drain_timeout: Duration = setting(30.0, "On shutdown, how long running requests may take to finish.", reload=Reload.LIVE, ge=0)
    tls: TlsTable = table(TlsTable, "TLS of the inference listener.")
    media: MediaTable = table(MediaTable, "Pictures and films in requests.")


class AdminTable(Table):
    """The admin listener: health, metrics, status."""

    listen: Addresses = setting(
        lambda: (default_admin_address(),),
        "Where to serve administration, as server.listen. A unix socket gets mode 0600.",
        reload=Reload.LISTENER,
        default_text=DEFAULT_ADMIN,
        example="unix:/run/mlxd/admin.sock",
    )
    token: str = setting(
        "",
        'Bearer token that may do everything: "env:NAME", "file:PATH" or the token itself. Required on TCP beyond loopback. Empty: none.',
        reload=Reload.LIVE,
        secret=True,
    )
    read_token: str = setting(
        "", "Bearer token that may read, and change nothing; needs token. Empty: none.", reload=Reload.LIVE, secret=True
    )
    allowed_hosts: Hosts = setting((), "As server.allowed_hosts, for this listener.", reload=Reload.LIVE)
    tls: TlsTable = table(TlsTable, "TLS of the admin listener.")


class LogTable(Table):
    """Logs go to standard error, or to a file."""

    level: Literal["debug", "info", "warning", "error"] = setting("info", "Least severe level that is logged.", reload=Reload.LIVE)
    format: Literal["auto", "console", "json"] = setting(
        "auto", 'One JSON object per line, or text for people; "auto": text on a terminal.', reload=Reload.LIVE
    )
    file: str = setting(
        "",
        "Append to this file instead of standard error; a relative path starts from this file's directory. Empty: standard error.",
        reload=Reload.LIVE,
    )
    content: bool = setting(False, "Also log prompts and completions.", reload=Reload.LIVE)


class MetricsTable(Table):
    """What Prometheus may read."""

    enabled: bool = setting(True, "Serve /metrics.", reload=Reload.LIVE)
    listen: Addresses | None = setting(
        None, "A listener of their own for /metrics. Unset: on the admin listener.", reload=Reload.LISTENER, example="127.0.0.1:9464"
    )
    vllm_compat: bool = setting(
        False, "Also serve /metrics/vllm: the same under vLLM's names, for its dashboards and for gateways.", reload=Reload.LIVE
    )
    tls: TlsTable = table(TlsTable, "TLS of metrics.listen. Unset: as admin.tls.")


class TracingTable(Table):
    """One OpenTelemetry span for each request, with its queue, prefill and decode. Never prompts or completions."""

    enabled: bool = setting(False, 'Send traces; needs the extra "tracing": pip install "mlxd[tracing]".', reload=Reload.LIVE)
    endpoint: Endpoint = setting(
        "http://127.0.0.1:4318/v1/traces",
        "Where a collector takes OTLP over HTTP: the whole URL. Headers, as for a token, come from the environment variable "
        "OTEL_EXPORTER_OTLP_HEADERS.",
        reload=Reload.LIVE,
    )
    sample_ratio: float = setting(
        1.0, "Share of the requests that are traced, of those whose client does not say (traceparent).", reload=Reload.LIVE, ge=0, le=1
    )
    service_name: ServiceName = setting("mlxd", "What the traces call this daemon: service.name.", reload=Reload.LIVE)


class MemoryTable(Table):
    """One ledger over weights, KV and transients of all models."""

    limit: Share = setting(
        MemoryShare(),
        'What all models together may use, weights, keys and values and computing: "auto" (75 % of RAM), a share such as "60%", or a size.',
        reload=Reload.LIVE,
    )
    wired_limit: Size = setting(
        0,
        "Memory that Metal keeps resident, all models together, each a part by what it has reserved. 0: leave it to the system. Wired "
        "memory under concurrency has panicked macOS kernels: raise it only where you have tried it.",
        reload=Reload.LIVE,
    )
    pressure: Literal["auto", "off"] = setting(
        "auto",
        'When the system is short of memory, "auto" gives back, in this order, and takes again as it passes: freed buffers, cached blocks '
        'nobody uses, half of the caches and then three quarters, large prompts, idle models, used models but pinned ones. "off": nothing.',
        reload=Reload.LIVE,
    )
    large_prompt: int = setting(
        2048,
        "Tokens to compute, beyond what is cached, from which on a prompt waits, or is refused with 507, while memory is short.",
        reload=Reload.LIVE,
        ge=1,
        le=MOST_TOKENS,
    )
    patience: Duration = setting(
        300.0,
        "A request whose model needs the place of another waits so long for its turn (lifecycle.residence, lifecycle.turn), then it is "
        "refused with 503; at once where the wait would be longer for certain.",
        reload=Reload.LIVE,
        ge=0,
    )
    max_waiting: int = setting(
        512,
        "Requests that wait until their models are loaded, or have their turn, all models together; more are refused with 503.",
        reload=Reload.LIVE,
        ge=1,
        le=1_000_000,
    )


class DefaultsTable(Table):
    """What every model inherits; each model may override any of it."""

    batching: BatchingTable = table(BatchingTable, "How requests share the device.")
    cache: CacheTable = table(CacheTable, "The prefix cache.")
    lifecycle: LifecycleTable = table(LifecycleTable, "When models load and unload.")
    worker: WorkerTable = table(WorkerTable, "How worker processes are watched.")
    sampling: SamplingTable = table(SamplingTable, "Defaults for requests that say nothing.")
    input: InputTable = table(InputTable, "How what clients send is read.")
    output: OutputTable = table(OutputTable, "How what models write is read.")
    speculation: SpeculationTable = table(SpeculationTable, "Guesses of the next tokens.")


class ModelTable(DefaultsTable):
    """One model: a source, and what it overrides of ``[defaults]``."""

    source: Source = setting(
        ...,
        'Hugging Face "org/name[@revision]", a local path ("./..." starts from this file\'s directory), or "builtin:smollm2-135m".',
        reload=Reload.MODEL,
        example="builtin:smollm2-135m",
    )
    aliases: Aliases = setting(
        (),
        'Other names clients may use for it. "*" in one stands for any text, as in "claude-*" or "*" alone: a name that is nobody\'s own '
        "goes to the pattern with the most characters beside its stars. Upper and lower case differ.",
        reload=Reload.LIVE,
    )
    task: Literal["auto", "generate", "embed", "rerank"] = setting(
        "auto",
        'What it is to do: "generate" text, "embed" texts as vectors, or "rerank" texts by scores. "auto": what its files show; '
        '"mlxd status MODEL" says what that is. Whatever cache, speculation, sampling, input and output say is of models that generate.',
        reload=Reload.MODEL,
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto", '"auto": as stored on a GPU; dequantized to float32 on a CPU, where anything else is unusably slow.', reload=Reload.MODEL
    )
    context_length: int | None = setting(
        None,
        "The most tokens of prompt and output together. Unset: the model's own. More than that is obeyed, with a warning.",
        reload=Reload.MODEL,
        example=4096,
        ge=16,
        le=MOST_TOKENS,
    )
    adapter_memory: Size = setting(
        256 * 2**20,
        "What its adapters that are loaded may take together, of a model that has any: reserved beside its cache. One that is asked for "
        "takes the place of those nobody has asked for the longest.",
        reload=Reload.LIVE,
        gt=0,
    )
    adapters: dict[AdapterName, AdapterTable] = Field(
        default_factory=dict, description="Fine-tunes of it that requests may name, by their names."
    )

    _of_generation: OwnKeys = PrivateAttr(OwnKeys())

    @property
    def encodes(self) -> bool:
        """Tells whether it is told to do something else than generate."""
        return self.task in {"embed", "rerank"}

    @property
    def of_generation(self) -> tuple[Key, ...]:
        """Returns the keys that its own table has, and that do nothing where its files turn out not to be of a model that generates."""
        return self._of_generation.keys

    def remember_of_generation(self, keys: tuple[Key, ...]) -> None:
        """Sets ``of_generation``: a table does not know by itself which of its values were written in it, and which are inherited."""
        self._of_generation = OwnKeys(keys)


class Config(BaseSettings, Table):
    """One snapshot of the whole file."""

    model_config = SettingsConfigDict(case_sensitive=True, validate_default=False)

    server: ServerTable = table(ServerTable, "Clients send their requests for inference to this listener.")
    admin: AdminTable = table(AdminTable, "The admin listener.")
    log: LogTable = table(LogTable, "Logs.")
    metrics: MetricsTable = table(MetricsTable, "Prometheus metrics.")
    tracing: TracingTable = table(TracingTable, "OpenTelemetry traces.")
    memory: MemoryTable = table(MemoryTable, "Memory policy.")
    defaults: DefaultsTable = table(DefaultsTable, "What every model inherits.")
    models: dict[ModelName, ModelTable] = Field(default_factory=dict, description="The models, by the name clients use.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Makes what the loader read from the file the only source: environment variables never override it."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)
