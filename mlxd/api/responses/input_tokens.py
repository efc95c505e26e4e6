"""``POST /v1/responses/input_tokens``."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from mlxd.api.counting import count_input
from mlxd.api.keys import ReadyModel
from mlxd.api.responses.request import responses_request
from mlxd.config.values import UnknownFields
from mlxd.wire.prompts import ChatPrompt

INPUT_TOKENS = "/v1/responses/input_tokens"


async def input_tokens(request: web.Request) -> web.Response:
    """Answers with the tokens of input, cached or not, that a response to the same body would have. Raises every kind of ``MlxdError``."""
    counted = {"object": "response.input_tokens", "input_tokens": await count_input(request, "input_tokens", _prompt)}
    return web.Response(body=msgspec.json.encode(counted), content_type="application/json")


def _prompt(document: Mapping[str, Any], model: ReadyModel, unknown: UnknownFields) -> ChatPrompt:
    [prompt] = responses_request(document, unknown).prompts(model)
    return prompt
