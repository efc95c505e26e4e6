"""docs/admin-api.md is current, complete, and its examples are calls there are."""

import re
import shlex
from pathlib import Path

import pytest

from mlxd.admin import openapi
from mlxd.admin.reference import reference
from mlxd.admin.routes import ROUTES
from tests.unit.admin.conftest import call

PAGE = Path(__file__).parents[3] / "docs" / "admin-api.md"
TEXT = reference()
DESCRIPTION = openapi.describe(ROUTES)
SECTIONS = dict(zip(re.findall(r"^### (.*)$", TEXT, re.MULTILINE), re.split(r"^### .*$", TEXT, flags=re.MULTILINE)[1:], strict=True))
CALLS = [(f"{method.upper()} {path}", operation) for path, methods in DESCRIPTION["paths"].items() for method, operation in methods.items()]


def test_it_is_current():
    assert PAGE.read_text() == TEXT, "run: make docs"


@pytest.mark.parametrize(("heading", "operation"), CALLS, ids=[heading for heading, _ in CALLS])
def test_each_call_has_a_section_that_says_it_all(heading, operation):
    section = SECTIONS[heading]
    assert operation["summary"] in section
    assert f"Token: *{operation[openapi.ROLE]}*" in section
    for parameter in operation.get("parameters", []):
        assert f"| `{parameter['name']}` | {parameter['in']} |" in section
    for status, answer in operation["responses"].items():
        assert "$ref" in answer or f"| {status} |" in section
    assert "curl " in section


@pytest.mark.parametrize("name", [name for name, schema in DESCRIPTION["components"]["schemas"].items() if "properties" in schema])
def test_each_document_has_a_section_with_its_fields(name):
    fields = re.findall(r"^\| `(\w+)` \|", SECTIONS[name], re.MULTILINE)
    assert fields == list(DESCRIPTION["components"]["schemas"][name]["properties"])


def test_every_link_leads_to_a_heading():
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]+)\)", TEXT))
    assert len(links) > len(CALLS)
    assert links <= anchors


@pytest.mark.parametrize("heading", [heading for heading, _ in CALLS])
async def test_each_example_is_understood(admin, heading):
    words = shlex.split(re.search(r"^\$ curl (.*)$", SECTIONS[heading], re.MULTILINE)[1])
    url, options = words[-1], dict(zip(words[:-1:2], words[1:-1:2], strict=True))
    method = options.get("-X", "POST" if "--data-binary" in options else "GET")
    headers = dict([options["-H"].split(": ")]) if "-H" in options else {}
    data = b'source = "builtin:smollm2-135m"' if "--data-binary" in options else options.get("-d")
    path = url.removeprefix("http://mlxd")
    assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", heading), f"{method} {path}")
    answer = await call(admin, method, path.replace("smollm2", "tiny"), headers=headers, data=data)
    assert answer.status in {200, 202, 404}
    assert answer.status != 404 or any(
        name in path for name in ("metrics", "op-1", "chatcmpl-1", "adapters/sql")
    )  # which the fake does not have


def test_no_line_names_this_machine():
    assert str(Path.home()) == "/" or str(Path.home()) not in TEXT
