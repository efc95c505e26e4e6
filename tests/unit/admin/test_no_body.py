"""Calls that take no body: ``{}`` is none."""

import pytest

from tests.unit.admin.conftest import TOML, call

JSON = {"Content-Type": "application/json"}
CALLS = ["evict", "models/tiny/load?wait=1", "models/tiny/evict", "reload?dry_run=1"]


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("body", [None, b"", b"{}", b" {\n} "])
async def test_nothing_and_an_empty_object(admin, path, body):
    answer = await call(admin, "POST", f"/admin/v1/{path}", data=body, headers=JSON if body else {})
    assert answer.status in (200, 202)


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(
    ("body", "headers"), [(b'{"a": 1}', JSON), (b"[]", JSON), (b"{}" + b" " * 100, JSON), (b"{", JSON), (b"a = 1", TOML)]
)
async def test_anything_else_is_refused(daemon, admin, path, body, headers):
    answer = await call(admin, "POST", f"/admin/v1/{path}", data=body, headers=headers)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert daemon.reloads.asked == []
