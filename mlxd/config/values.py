"""The types of values that the schema's fields have: what each accepts, and what it says of anything else."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, Strict, WithJsonSchema

from mlxd.config.address import Listen, is_host
from mlxd.config.media_hosts import check_media_host
from mlxd.config.origins import check_listed
from mlxd.config.units import format_duration, parse_duration


def _listed(value: object) -> object:
    if value == []:
        raise ValueError("must have at least one address")
    return value if isinstance(value, list | tuple) else [value]


def _check_name(value: str) -> str:
    if len(value) > 128 or not re.fullmatch(NAME_PATTERN, value):
        raise ValueError(
            'must be a model name: letters, digits and ". _ - : /", at most 128, with a letter or digit at the beginning and after each "/"'
        )
    return value


def _check_alias(value: str) -> str:
    if len(value) > 128 or not re.fullmatch(ALIAS_PATTERN, value):
        raise ValueError(
            'must be a name, or a pattern with "*" for any text: letters, digits and ". _ - : / @ + ~ = , ( ) [ ]", at most 128, with a '
            'letter, a digit, "~", "@" or "*" at the beginning and after each "/", and no two "*" in a row'
        )
    return value


def _check_host(value: str) -> str:
    host = value.lower().removeprefix("[").removesuffix("]")
    if not is_host(host):
        raise ValueError('must be a host name or an IP address, without scheme and port, such as "mlx.example"')
    return host


def _check_endpoint(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:_-]+/[!-~]+", value):
        raise ValueError('must be a URL with its path, without user and password, such as "http://127.0.0.1:4318/v1/traces"')
    return value


def _check_field_name(value: str) -> str:
    if not re.fullmatch(r"[!-~]{1,128}", value):
        raise ValueError('must be the name of a field, or a type of blocks, such as "tool_addition"')
    return value


def _check_line_prefix(value: str) -> str:
    if not value.strip() or value != value.lstrip() or len(value.splitlines()) > 1 or len(value) > 128:
        raise ValueError('must be the beginning of a line, at most 128 characters with none of them a space in front, such as "x-billing:"')
    return value


def _check_service_name(value: str) -> str:
    if not re.fullmatch(r"[!-~]{1,128}", value):
        raise ValueError('must be a name of at most 128 printable characters without spaces, such as "mlxd"')
    return value


def _check_key_name(value: str) -> str:
    if not re.fullmatch(KEY_NAME_PATTERN, value):
        raise ValueError('must be a name of at most 64 letters, digits and ". _ -", with a letter or digit at the beginning')
    return value


def _check_adapter_name(value: str) -> str:
    if not re.fullmatch(KEY_NAME_PATTERN, value):
        raise ValueError('must be the name of an adapter: letters, digits and ". _ -", at most 64, with a letter or digit at the beginning')
    return value


def _check_model_pattern(value: str) -> str:
    if len(value) > 128 or not re.fullmatch(ALIAS_PATTERN, value):
        raise ValueError('must be a name or alias of a model or an adapter, or a pattern in which "*" stands for any text, such as "qwen*"')
    return value


KEY_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:-]*(/[A-Za-z0-9][A-Za-z0-9._:-]*)*"

# Names of others, among them "claude-sonnet-4-5[1m]", "~anthropic/claude" and "@cf/meta/llama", and patterns of them.
_ALIAS_SEGMENT = r"(\*|[A-Za-z0-9~@]\*?)([A-Za-z0-9._:@+~=,()\[\]-]\*?)*"
ALIAS_PATTERN = f"{_ALIAS_SEGMENT}(/{_ALIAS_SEGMENT})*"

_Array = Strict(strict=False)  # TOML arrays arrive as lists; their items stay strict
_ADDRESS = {"type": "string", "examples": ["127.0.0.1:8000", "unix:~/.mlxd/admin.sock"]}
Addresses = Annotated[
    tuple[Listen, ...],
    _Array,
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [_ADDRESS, {"type": "array", "items": _ADDRESS, "minItems": 1}]}),
]
Texts = Annotated[tuple[str, ...], _Array]
ModelName = Annotated[
    str, AfterValidator(_check_name), WithJsonSchema({"type": "string", "pattern": f"^{NAME_PATTERN}$", "maxLength": 128})
]
Hosts = Annotated[tuple[Annotated[str, AfterValidator(_check_host)], ...], _Array]
MediaHosts = Annotated[tuple[Annotated[str, AfterValidator(check_media_host)], ...], _Array]
Origins = Annotated[tuple[Annotated[str, AfterValidator(check_listed)], ...], _Array]
Alias = Annotated[str, AfterValidator(_check_alias), WithJsonSchema({"type": "string", "pattern": f"^{ALIAS_PATTERN}$", "maxLength": 128})]
Aliases = Annotated[tuple[Alias, ...], _Array]
LinePrefixes = Annotated[tuple[Annotated[str, AfterValidator(_check_line_prefix)], ...], _Array]
KeyName = Annotated[str, AfterValidator(_check_key_name), WithJsonSchema({"type": "string", "pattern": f"^{KEY_NAME_PATTERN}$"})]
AdapterName = Annotated[str, AfterValidator(_check_adapter_name), WithJsonSchema({"type": "string", "pattern": f"^{KEY_NAME_PATTERN}$"})]
ModelPatterns = Annotated[tuple[Annotated[str, AfterValidator(_check_model_pattern)], ...], _Array]
Endpoint = Annotated[str, AfterValidator(_check_endpoint)]
ServiceName = Annotated[str, AfterValidator(_check_service_name)]

UnknownFields = Literal["refuse", "ignore"] | Annotated[tuple[Annotated[str, AfterValidator(_check_field_name)], ...], _Array]

MOST = 1_000_000  # no count needs more; larger ones are mistakes
MOST_TOKENS = 2**31 - 1
MOST_PRIORITY = 100  # and as far below 0
LEAST_REPETITION_PENALTY = 0.01  # a logit is divided by it, and must stay a number in every type


def _check_step_tokens(value: object) -> object:
    if value != "auto" and (isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST):
        raise ValueError(f'must be "auto" or a number of tokens from 1 to {MOST}')
    return value


def _parse_idle(value: object) -> float | None:
    if value is None or value == "never":
        return None
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ValueError(f'{error}, or "never"') from None
    if not seconds:
        raise ValueError('must be longer than "0s", or "never"')
    return seconds


StepTokens = Annotated[
    Literal["auto"] | int,
    BeforeValidator(_check_step_tokens),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1, "maximum": MOST}]}),
]


Idle = Annotated[
    float | None,
    BeforeValidator(_parse_idle),
    PlainSerializer(lambda value: "never" if value is None else format_duration(value), return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(never|[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d))$"}),
]

ToolShapeName = Literal[
    "auto",
    "none",
    "hermes",
    "json",
    "qwen_xml",
    "glm",
    "pythonic",
    "mistral",
    "deepseek",
    "kimi",
    "gemma",
    "cohere",
    "minimax",
    "longcat",
    "harmony",
]
ReasoningShapeName = Literal["auto", "none", "think", "mistral", "cohere", "thought", "gemma", "harmony"]
