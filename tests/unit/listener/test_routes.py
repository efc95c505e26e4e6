"""Paths that nobody answers."""

import pytest


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("/v1/echo", "/echo"),
        ("/echo/", "/echo"),
        ("/v1/v1/health", "/health"),
        ("/nothing", None),
        ("/", None),
        ("//", None),
        ("/echo/nothing", None),
    ],
)
async def test_the_nearest_path_is_named(echo, path, nearest):
    status, _, body = await echo.get(path)
    hint = f"; did you mean {nearest}?" if nearest else ""
    assert (status, body["error"]["message"]) == (404, f"no such path: {path}{hint}")


async def test_a_path_is_cut(echo):
    _, _, body = await echo.get("/" + "x" * 5000)
    assert len(body["error"]["message"]) < 150
