"""The models, as Anthropic's SDK lists them."""

import anthropic
import pytest

pytestmark = pytest.mark.usefixtures("few_authorities")

VERSION = {"anthropic-version": "2023-06-01"}


@pytest.fixture
async def sdk(server):
    server.registry.add("org/other")
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


async def test_they_are_listed_with_their_aliases(sdk):
    found = await sdk.models.list()
    assert [model.id for model in found.data] == ["tiny", "small", "org/other"]
    assert (found.first_id, found.last_id, found.has_more) == ("tiny", "org/other", False)
    first = found.data[0]
    assert (first.type, first.display_name, first.max_input_tokens, first.lifecycle) == ("model", "tiny", 2048, "active")
    assert first.created_at.year == 2023


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_they_come_page_by_page(sdk, limit):
    assert [model.id async for model in sdk.models.list(limit=limit)] == ["tiny", "small", "org/other"]


async def test_a_page_before_another(sdk):
    found = await sdk.models.list(before_id="org/other", limit=1)
    assert ([model.id for model in found.data], found.has_more) == (["small"], True)
    assert (await sdk.models.list(before_id="tiny")).data == []


async def test_one_is_found_by_any_of_its_names(sdk):
    assert (await sdk.models.retrieve("small")).id == "small"
    with pytest.raises(anthropic.NotFoundError):
        await sdk.models.retrieve("claude-opus-9")


@pytest.mark.parametrize("limit", ["0", "x", "1001", "-1"])
async def test_a_limit_that_is_none(server, limit):
    async with server.session.get(f"{server.url}/v1/models?limit={limit}", headers=VERSION) as response:
        assert (response.status, (await response.json())["error"]["type"]) == (400, "invalid_request_error")


async def test_others_get_openai_s_list(server):
    async with server.session.get(f"{server.url}/v1/models") as response:
        assert (await response.json())["object"] == "list"
