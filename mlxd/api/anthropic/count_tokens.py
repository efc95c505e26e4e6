"""``POST /v1/messages/count_tokens``."""

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from mlxd.api.anthropic.errors import ROOT
from mlxd.api.anthropic.messages import MessagesRequest, PromptFields
from mlxd.api.counting import count_input
from mlxd.api.fields.generation import read_request
from mlxd.api.keys import ReadyModel
from mlxd.config.values import UnknownFields
from mlxd.wire.prompts import ChatPrompt

COUNT_TOKENS = f"{ROOT}/count_tokens"

_OF_ANSWERS = MessagesRequest.model_fields.keys() - PromptFields.model_fields.keys()  # clients send the request that they are about to make


async def count_tokens(request: web.Request) -> web.Response:
    """Answers with ``{"input_tokens": …}``: the input, cached or not, that the answer would have. Raises every kind of ``MlxdError``."""
    counted = {"input_tokens": await count_input(request, "count_tokens", _prompt)}
    return web.Response(body=msgspec.json.encode(counted), content_type="application/json")


def _prompt(document: Mapping[str, Any], model: ReadyModel, unknown: UnknownFields) -> ChatPrompt:
    asked = {name: value for name, value in document.items() if name not in _OF_ANSWERS}
    [prompt] = read_request(PromptFields, asked, unknown).prompts(model)
    return prompt
