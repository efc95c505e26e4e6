"""GET /openapi.json says what the listener answers, and no answer is another one. Requests are made from it, as it allows and not."""

import json
import re

import pytest
import schemathesis
from aiohttp import hdrs

from mlxd.api.app import ApiSources, build_app
from mlxd.api.openapi import BODIES
from mlxd.api.responses.input_tokens import INPUT_TOKENS
from mlxd.config.schema import Config
from mlxd.listener.openapi import DOCUMENT, template
from tests.support.recorded_requests import recorded_requests

REFERENCE = re.compile(r'"\$ref": "#/([^"]+)"')
APP = build_app(ApiSources(models=None, telemetry=None, tracer=None, requests=None, key_uses=None, config=Config))
REFUSED = {"anthropic-py-7"}  # it shows a picture whose base64 was replaced when it was recorded
DESCRIPTION = json.loads(APP[DOCUMENT]())


def test_it_is_valid_by_openapi_s_own_schema():
    schemathesis.openapi.from_dict(DESCRIPTION).validate()


def test_what_the_router_has_is_described():
    routed = {(route.method, template(route.resource.canonical)) for route in APP.router.routes() if route.method != hdrs.METH_HEAD}
    described = {(method.upper(), path) for path, methods in DESCRIPTION["paths"].items() for method in methods}
    untold = {(method, path) for method, path in routed if path.startswith("/v1/responses/") and path != INPUT_TOKENS}  # nothing is there
    assert {(method, path) for method, path in routed - untold if not path.endswith("/") and path != "/{rest}"} == described


def test_each_body_is_described_and_each_operation_says_what_it_does():
    posts = {path for path, methods in DESCRIPTION["paths"].items() if "post" in methods}
    assert posts == BODIES.keys()
    operations = [operation for methods in DESCRIPTION["paths"].values() for operation in methods.values()]
    assert all(operation["summary"][0].isupper() and not operation["summary"].endswith(".") for operation in operations)
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_every_reference_leads_somewhere():
    for reference in REFERENCE.findall(json.dumps(DESCRIPTION)):
        found = DESCRIPTION
        for part in reference.split("/"):
            found = found[part]
        assert found


@pytest.mark.parametrize("path", sorted(BODIES))
def test_what_clients_were_seen_to_send_is_as_it_is_described(path):
    import jsonschema_rs  # noqa: PLC0415

    schema = DESCRIPTION["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema_rs.validator_for(schema | {"components": DESCRIPTION["components"]})
    for sent in recorded_requests():
        if sent.path == path and sent.client not in REFUSED:
            assert [f"{sent.client}: {error.message[:300]}" for error in validator.iter_errors(sent.body)] == []


async def test_it_is_served(server):
    async with server.session.get(f"{server.url}/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.json() == DESCRIPTION
