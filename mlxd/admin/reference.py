"""The reference of the admin API. ``docs/admin-api.md`` is ``python -m mlxd.admin.reference``.

It is written from the OpenAPI description, so that the two cannot differ.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from mlxd.admin import openapi
from mlxd.admin.route import JSON, TOML
from mlxd.admin.routes import ROUTES

_HEAD = """\
# The admin API

<!-- Generated from the code by `python -m mlxd.admin.reference`; do not edit. `make docs` writes it anew. -->

What an operator asks a running daemon: health, metrics, status, models, the configuration and its reload. It has a listener of its own,
`admin.listen` in the [configuration](configuration.md): a unix socket (`~/.mlxd/admin.sock`, mode 0600) unless you choose another. The
commands `mlxd status`, `reload`, `load`, `drain` and so on are clients of it.

```console
$ curl --unix-socket ~/.mlxd/admin.sock http://mlxd/admin/v1/status
$ curl -H "Authorization: Bearer $MLXD_ADMIN_TOKEN" http://127.0.0.1:8001/admin/v1/status      # with admin.listen = "127.0.0.1:8001"
```

The examples below are for the unix socket; the host in their URLs is any word. The same description for programs, in OpenAPI 3.1, is
`GET /admin/v1/openapi.json`.

## A change, step by step

```console
$ curl --unix-socket ~/.mlxd/admin.sock -H 'Content-Type: application/toml' --data-binary @new.toml http://mlxd/admin/v1/config/diff
$ cp new.toml mlxd.toml
$ curl --unix-socket ~/.mlxd/admin.sock -X POST http://mlxd/admin/v1/reload
```

The first call shows the plan: what happens to each model and each listener, and what each field's change costs. The last one takes the
file over, waits until every model is what it is to be, and says which could not. The file is watched, so the copy alone would do, and the
last call may answer `unchanged`: the watcher was faster. With `If-Match` a dry run or a reload is refused (412) where another
configuration runs than the one you looked at.

## Who may call

Where `admin.token` is set, calls need `Authorization: Bearer TOKEN`. `admin.read_token` may make the calls marked *read* below and no
other; calls marked *open* need no token. Where none is set, whoever reaches the socket may do everything, so a listener that other
machines can reach does not start without a token.

Browsers are kept out: a request with a `Host` that is neither loopback, nor the listener's address, nor in `admin.allowed_hosts` is
refused (DNS rebinding), and so are every `Origin`, WebSocket upgrades and `Sec-Fetch-Mode: no-cors`.

Each call that changes something, done or refused, is an `audit` event in the log: `action`, what it was asked `on_…`, `role` and `peer`,
`status`, and the `error` if it was one. A client that left before its answer is told with status 499; what it began goes on. Tokens that
are refused are `key_refused` events, with their number, at once and then once a minute for each peer.

## What all calls share

Times are RFC 3339 in UTC; sizes are bytes, spans seconds; what is unknown is `null`. New fields may be added to any document.
Every answer has an `x-request-id`: the request's own, or a new one; the log has it too.

A refusal is a JSON document with a [message for people and a code for programs](#errorbody):

```json
{
  "error": {
    "message": "no model \\"qwen\\" is configured here; there are: smollm2",
    "type": "invalid_request_error",
    "param": "model",
    "code": "model_not_found"
  }
}
```

Calls that change something refuse parameters they do not know, and bodies they do not take: a mistyped `dry_run` reloads nothing.
These statuses any call may have:

"""
_PLACES = {"path": "path", "query": "query", "header": "header"}
_EXAMPLES = {TOML: "--data-binary @mlxd.toml"}


def reference() -> str:
    description = openapi.describe(ROUTES)
    calls = [
        (f"{method.upper()} {path}", operation) for path, methods in description["paths"].items() for method, operation in methods.items()
    ]
    responses, schemas = description["components"]["responses"], description["components"]["schemas"]
    return "".join(
        [
            _HEAD,
            _table(["Status", "Meaning"], [[str(int(status)), _refusal(responses, int(status))] for status in openapi.EVERYWHERE]),
            "\n## Calls\n\n",
            _table(["Call", "Token", ""], [[_link(f"`{call}`", call), op[openapi.ROLE], op["summary"]] for call, op in calls]),
            *(_call(call, operation, description) for call, operation in calls),
            "\n## Documents\n",
            *(_document(name, schema, schemas) for name, schema in sorted(schemas.items()) if "properties" in schema),
        ]
    )


def _call(call: str, operation: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    text = [f"\n### {call}\n\n{operation['summary']}. {operation.get('description', '')}".rstrip() + "\n\n"]
    text.append(f"Token: *{operation[openapi.ROLE]}*.{_body(operation)}\n")
    parameters = operation.get("parameters", [])
    if parameters:
        rows = [[f"`{one['name']}`", _PLACES[one["in"]], one["description"] + _values(one["schema"])] for one in parameters]
        text.append("\n" + _table(["Parameter", "In", ""], rows))
    text.append("\n" + _table(["Status", "Document", ""], _answers(operation, description)))
    text.append(f"\n```console\n$ {_curl(call, operation, description)}\n```\n")
    return "".join(text)


def _body(operation: Mapping[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    ((kind, content),) = operation["requestBody"]["content"].items()
    what = _type(content["schema"]) if kind == JSON else "the text of a configuration file"
    return f" Body: {what}, as `Content-Type: {kind}`."


def _answers(operation: Mapping[str, Any], description: Mapping[str, Any]) -> list[list[str]]:
    """Returns the answers of one call; those that any call may have are told once, above."""
    everywhere = {str(int(status)) for status in openapi.EVERYWHERE}
    rows = []
    for status, answer in sorted(operation["responses"].items()):
        if "$ref" in answer:
            if status not in everywhere:
                rows.append([status, _link("ErrorAnswer", "ErrorAnswer"), _refusal(description["components"]["responses"], int(status))])
            continue
        headers = "".join(f" Header `{name}`: {_lower(header['description'])}" for name, header in answer.get("headers", {}).items())
        rows.append([status, _contents(answer), answer["description"] + headers])
    return rows


def _contents(answer: Mapping[str, Any]) -> str:
    return ", ".join(_type(content["schema"]) if kind == JSON else f"`{kind}`" for kind, content in answer.get("content", {}).items())


def _refusal(responses: Mapping[str, Any], status: int) -> str:
    return str(responses[f"Refusal{status}"]["description"])


def _curl(call: str, operation: Mapping[str, Any], description: Mapping[str, Any]) -> str:
    method, _, path = call.partition(" ")
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["schema"]["examples"][0])
    words = ["curl --unix-socket ~/.mlxd/admin.sock"]
    if "requestBody" in operation:
        ((kind, content),) = operation["requestBody"]["content"].items()
        words += [f"-X {method}" if method != "POST" else "", f"-H 'Content-Type: {kind}'"]
        words.append(_EXAMPLES.get(kind) or f"-d '{json.dumps(_example(content['schema'], description))}'")
    elif method != "GET":
        words.append(f"-X {method}")
    return " ".join(filter(None, [*words, f"http://mlxd{path}"]))


def _example(schema: Mapping[str, Any], description: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an example that has the first value of each field that is one of several."""
    document = description["components"]["schemas"][_name(schema)]
    return {name: field["enum"][0] for name, field in document["properties"].items()}


def _document(name: str, schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    rows = [[f"`{field}`", _type(kind, schemas), kind.get("description", "")] for field, kind in schema["properties"].items()]
    return f"\n### {name}\n\n{schema['description']}\n\n" + _table(["Field", "Type", ""], rows)


def _type(schema: Mapping[str, Any], schemas: Mapping[str, Any] | None = None) -> str:
    """Names a type in words; enumerations by their values, documents by a link."""
    if "$ref" in schema:
        name = _name(schema)
        target = (schemas or {}).get(name, {})
        return _one_of(target["enum"]) if "enum" in target else _link(name, name)
    if "enum" in schema:
        return _one_of(schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(member, schemas) for member in schema["anyOf"])
    kind = schema.get("type", "any value")
    if kind == "array":
        return f"list of {_type(schema['items'], schemas)}"
    if kind == "object":
        below = schema.get("additionalProperties")
        return f"map of names to {_type(below, schemas)}" if below else "JSON object"
    return "RFC 3339 time" if schema.get("format") == "date-time" else str(kind)


def _values(schema: Mapping[str, Any]) -> str:
    return f" {_one_of(schema['enum'])}; default `{schema['default']}`." if "enum" in schema else ""


def _one_of(values: Iterable[Any]) -> str:
    return ", ".join(f"`{json.dumps(value)}`" if isinstance(value, bool) else f"`{value}`" for value in values)


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _link(text: str, heading: str) -> str:
    """Links to a heading of the page, by the anchor that GitHub and others make of it."""
    anchor = "".join(character for character in heading.lower().replace(" ", "-") if character.isalnum() or character in "-_")
    return f"[{text}](#{anchor})"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _table(columns: list[str], rows: Iterable[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(reference())
