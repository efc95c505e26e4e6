"""The inference listener of a real daemon, called in ways that its served description allows, and in ways that it does not.

Whatever is sent is answered, or refused in the shape of its API; nothing is a fault of the daemon's, and its worker lives.
``MLXD_EXAMPLES=500 python -m pytest tests/e2e/test_openapi_conformance.py`` makes a thousand requests for each call and way.
"""

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.support.error_shapes import check_error
from tests.support.examples import examples
from tests.support.patience import PATIENCE
from tests.support.scripted.script import Rule, call

CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
MODELS = st.one_of(st.just("scripted"), st.just("scripted"), st.just("scripted"), st.text(max_size=9))


@pytest.fixture
def daemon(scripted):
    scripted.say(Rule(says=call("get_weather", "Let me look. ", city="Oslo")))
    return scripted


@pytest.fixture
def operations(daemon):
    description = requests.get(f"{daemon.url}/openapi.json", timeout=PATIENCE).json()
    return [found.ok() for found in schemathesis.openapi.from_dict(description).get_all_operations()]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_as_it_is_described(daemon, operations, mode):
    worker = daemon.model("scripted")["pid"]
    with requests.Session() as session:
        for operation in operations:
            if mode is GenerationMode.POSITIVE or operation.body or operation.query:
                check(operation, mode, daemon.url, session)
    assert daemon.model("scripted")["pid"] == worker
    assert not daemon.events("request_crashed")


def check(operation, mode, url, session):
    """Calls one operation; of what has a body, some must be understood."""
    seen = set()

    @settings(max_examples=examples(2), derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), model=MODELS)
    def send(case, model):
        if isinstance(case.body, dict) and case.body.get("model") is not None:
            case.body["model"] = model
        response = case.call(base_url=url, session=session, allow_redirects=False, timeout=PATIENCE)
        case.validate_response(response, checks=CHECKS)
        assert response.status_code < 500, response.text
        if response.status_code >= 400:
            check_error(response.json(), operation.path, what=response.text)
        seen.add(response.status_code)

    send()
    assert seen, operation.label
