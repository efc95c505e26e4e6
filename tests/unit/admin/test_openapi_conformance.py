"""The real admin application, called over a real socket in every way its description allows, and in ways it does not.

Whatever is sent, every answer is one the description has: its status, its content type, its headers and its document, to the last field.
"""

import asyncio
import itertools
import threading

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mlxd.admin import openapi
from mlxd.admin.app import build_admin_app, rules_of
from mlxd.admin.routes import ROUTES
from mlxd.config.adapter_table import AdapterTable
from mlxd.config.address import parse_address
from mlxd.control.live_requests import LiveRequest
from mlxd.control.operations import OperationKind
from mlxd.control.reload import Outcome, Result
from mlxd.errors import ShuttingDownError
from mlxd.listener.server import Listener
from mlxd.observability.metrics import Metrics
from mlxd.types import ModelState
from mlxd.wire.messages import Progress
from tests.support.examples import examples
from tests.support.patience import PATIENCE
from tests.support.statuses import SHA256, FakeDaemon, model_status, running_status
from tests.unit.admin.conftest import GUARDED
from tests.unit.admin.test_config_api import PLAN, TEXT

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance, response_headers_conformance]
KNOWN = {"id": "smollm2", "adapter": "sql", "operation": "op-1", "request": "chatcmpl-1"}  # what there is
ADAPTERS = {"sql": AdapterTable(source="org/sql", aliases=("coder",))}
TOKENS = {"full": "full-token", "read": "read-token", "wrong": "wrong", "none": None}
EVERY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


@schemathesis.serializer("application/toml")
def _as_it_is(_context, value):
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else str(value).encode()


def strict_description():
    """In which a document has no field that is not described."""
    description = openapi.describe(ROUTES)
    for schema in description["components"]["schemas"].values():
        if "properties" in schema:
            schema["additionalProperties"] = False
    return description


SCHEMA = schemathesis.openapi.from_dict(strict_description())
OPERATIONS = {operation.ok().definition.raw["operationId"]: operation.ok() for operation in SCHEMA.get_all_operations()}
ROUTES_BY_NAME = {route.name: route for route in ROUTES}
WITH_INPUT = [name for name, operation in OPERATIONS.items() if operation.query or operation.body]  # any text is an id, or a header


class Moody(FakeDaemon):
    """A daemon whose models and reloads end now in one way, now in another; always in the same order."""

    def __init__(self):
        super().__init__(
            running_status("smollm2", aliases=("default",), adapters=ADAPTERS),
            model_status("org/name", ModelState.LOADING, progress=Progress(stage="fetching", done=1, total=2)),
            model_status("broken", ModelState.FAILED, adapters=ADAPTERS, restarts=5, restart_in=1.5, last_error="killed by SIGKILL"),
        )
        metrics = Metrics(self.models.statuses, self.ledger)
        self.registry, self.vllm_registry = metrics.registry, metrics.vllm.registry
        self._endings = itertools.cycle([*Result, ShuttingDownError("the daemon is stopping", retry_after=5.0)])
        self._comparisons = itertools.cycle([Result.PLANNED, Result.UNCHANGED, Result.REFUSED, Result.INVALID])
        self._reasons = itertools.cycle([None, "killed by SIGKILL"])
        self.reloads.reload = self.reloads.look = lambda *_args, **_kwargs: self._ended(next(self._endings))
        self.reloads.compare = lambda _text: self._ended(next(self._comparisons))
        self.models.wait_model_settled = self._settled

    async def _ended(self, result):
        if isinstance(result, ShuttingDownError):
            raise result
        return Outcome(result=result, sha256=SHA256, plan=PLAN, problems=() if result.is_good else ("mlxd.toml:1: wrong",))

    async def _settled(self, _name):
        return next(self._reasons)


async def _serve(started, stop):
    daemon = Moody()
    daemon.operations.begin(OperationKind.LOAD, "smollm2", daemon.models.wait_model_settled("smollm2"))
    request = LiveRequest(id="chatcmpl-1", request_id="r", endpoint="chat", model="smollm2", streamed=True, stop=lambda _: None)
    listener = Listener(build_admin_app(daemon.sources, lambda: rules_of(GUARDED)), [parse_address("127.0.0.1:0")])
    with daemon.requests.track(request):
        await listener.start()
        started(f"http://{listener.addresses[0]}")
        await stop.wait()
        await listener.stop()


@pytest.fixture(scope="module")
def url():
    """Of an admin API that is served by a thread of its own, for the generated requests are sent by a library that blocks."""
    loop, stop, ready, urls = asyncio.new_event_loop(), asyncio.Event(), threading.Event(), []

    def started(url):
        urls.append(url)
        ready.set()

    thread = threading.Thread(target=loop.run_until_complete, args=[_serve(started, stop)])
    thread.start()
    assert ready.wait(10)
    yield urls[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        yield session


def cases(operation, mode):
    """Of things there are, and of anything."""
    names = [parameter.name for parameter in operation.path_parameters]
    known = [{"path_parameters": {name: there[name] for name in names}} for there in (KNOWN, {**KNOWN, "id": "broken"}) if names]
    if operation.body and mode.is_positive:
        known = [{"body": TEXT}]
    return st.one_of(*(operation.as_strategy(generation_mode=mode, **part) for part in [*known, {}]))


def sent(case, url, session, token):
    """The answer, and that it is one of those described."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    response = case.call(base_url=url, session=session, headers=headers, allow_redirects=False, timeout=PATIENCE)
    case.validate_response(response, checks=CHECKS)
    return response


deterministic = settings(derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_the_description_allows_is_answered_as_it_says(url, session, name):
    operation, seen = OPERATIONS[name], set()

    @settings(deterministic, max_examples=examples(8))
    @given(case=cases(operation, GenerationMode.POSITIVE))
    def check(case):
        response = sent(case, url, session, TOKENS["full"])
        assert response.status_code < 500 or response.status_code in (500, 503)
        seen.add(response.status_code)

    check()
    assert seen & ROUTES_BY_NAME[name].answers.keys(), f"only {seen}: nothing that was sent was understood"


@pytest.mark.parametrize("name", WITH_INPUT)
def test_what_it_does_not_allow_is_refused_as_it_says(url, session, name):
    operation, seen = OPERATIONS[name], set()

    @settings(deterministic, max_examples=examples(8))
    @given(case=cases(operation, GenerationMode.NEGATIVE))
    def check(case):
        seen.add(sent(case, url, session, TOKENS["full"]).status_code)

    check()
    assert seen & {400, 404, 415, 422}, f"only {seen}: nothing that was sent was refused"


@pytest.mark.parametrize("name", OPERATIONS)
def test_who_may_not_is_refused_whatever_is_sent(url, session, name):
    operation = OPERATIONS[name]
    role = operation.definition.raw[openapi.ROLE]

    @settings(deterministic, max_examples=examples(5))
    @given(case=cases(operation, GenerationMode.POSITIVE), who=st.sampled_from(["read", "wrong", "none"]))
    def check(case, who):
        status = sent(case, url, session, TOKENS[who]).status_code
        assert (status == 401) == (role != "open" and who != "read")
        assert (status == 403) == (role == "full" and who == "read")

    check()


@pytest.mark.parametrize("path", SCHEMA)
def test_other_methods_are_refused_by_name(url, session, path):
    described = {method.upper() for method in SCHEMA[path]}
    concrete = path.format(**KNOWN)
    for method in set(EVERY_METHOD) - described:
        response = session.request(method, f"{url}{concrete}", headers={"Authorization": "Bearer full-token"}, timeout=PATIENCE)
        if method == "GET" and "/models/" in path:  # it could be a model's id, which may have slashes
            assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
            continue
        assert (response.status_code, response.json()["error"]["code"]) == (405, "method_not_allowed")
        assert described <= {allowed.strip() for allowed in response.headers["Allow"].split(",")}


def without_a_field(description):
    memory = description["components"]["schemas"]["Memory"]
    del memory["properties"]["free_bytes"]
    memory["required"].remove("free_bytes")


def without_a_status(description):
    del description["paths"]["/admin/v1/memory"]["get"]["responses"]["200"]


def with_another_content_type(description):
    responses = description["paths"]["/admin/v1/memory"]["get"]["responses"]
    responses["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (without_a_field, "'free_bytes' was unexpected"),
        (without_a_status, "Undocumented status code"),
        (with_another_content_type, "Undocumented Content-Type"),
    ],
)
def test_what_is_not_described_would_be_found(url, session, change, found):
    description = strict_description()
    change(description)
    case = schemathesis.openapi.from_dict(description)["/admin/v1/memory"]["GET"].Case()
    with pytest.raises(FailureGroup, match=found):
        sent(case, url, session, TOKENS["full"])
