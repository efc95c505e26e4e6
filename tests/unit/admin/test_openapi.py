"""GET /admin/v1/openapi.json says what the routes are. (That they do what it says: test_openapi_conformance.py.)"""

import json
import re

import pytest
import schemathesis
from aiohttp import hdrs

from mlxd.admin import openapi
from mlxd.admin.app import build_admin_app
from mlxd.admin.keys import AdminSources
from mlxd.admin.routes import ROUTES
from mlxd.listener.security import SecurityRules
from tests.unit.admin.conftest import bearer, call

DESCRIPTION = openapi.describe(ROUTES)
OPERATIONS = {
    operation["operationId"]: (method.upper(), path, operation)
    for path, methods in DESCRIPTION["paths"].items()
    for method, operation in methods.items()
}
REFERENCE = re.compile(r'"\$ref": "#/([^"]+)"')


def test_it_is_valid_by_openapi_s_own_schema():
    schemathesis.openapi.from_dict(json.loads(openapi.document(ROUTES))).validate()


def test_a_description_that_is_wrong_would_be_found():
    wrong = openapi.describe(ROUTES)
    wrong["paths"]["/livez"]["get"]["parameters"] = [{"name": "x"}]
    with pytest.raises(Exception, match="is a required property"):
        schemathesis.openapi.from_dict(wrong).validate()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_each_route_is_described(route):
    method, path, operation = OPERATIONS[route.name]
    assert (method, path) == (route.method, re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path))
    assert operation["summary"][0].isupper()
    assert not operation["summary"].endswith(".")
    assert "``" not in operation["summary"] + operation.get("description", "")
    assert {int(status) for status in operation["responses"]} >= {*route.answers, *route.refusals}
    assert [parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"] == [*route.query]
    assert ("requestBody" in operation) == (route.body is not None)


def test_nothing_else_is_described():
    assert set(OPERATIONS) == {route.name for route in ROUTES}


def test_the_router_has_what_is_described(daemon):
    assert isinstance(daemon.sources, AdminSources)
    app = build_admin_app(daemon.sources, SecurityRules)
    routed = {(route.method, route.resource.canonical) for route in app.router.routes() if route.method != hdrs.METH_HEAD}
    assert routed - {("*", "/{rest}")} == {(method, path) for method, path, _ in OPERATIONS.values()}


def test_every_reference_leads_somewhere():
    for reference in REFERENCE.findall(json.dumps(DESCRIPTION)):
        found = DESCRIPTION
        for part in reference.split("/"):
            found = found[part]
        assert found


def test_every_document_says_what_it_is():
    schemas = DESCRIPTION["components"]["schemas"]
    assert {name for name, schema in schemas.items() if not schema.get("description")} == set()
    assert not any("." in name for name in schemas)  # two documents of one name


async def test_it_is_served(admin):
    served = await call(admin, "GET", "/admin/v1/openapi.json")
    assert served.body == json.loads(json.dumps(DESCRIPTION))
    assert served.headers["Content-Type"].partition(";")[0] == "application/json"


async def test_it_is_shown_to_whom_may_read(guarded):
    assert (await call(guarded, "GET", "/admin/v1/openapi.json")).status == 401
    assert (await call(guarded, "GET", "/admin/v1/openapi.json", headers=bearer("read-token"))).status == 200
