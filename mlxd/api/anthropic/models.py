"""``GET /v1/models`` and ``GET /v1/models/{id}`` as Anthropic's clients read them: whoever names an ``anthropic-version`` is one."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from mlxd.api.keys import MODEL
from mlxd.api.permitted_models import models_of
from mlxd.control.model.status import ModelStatus
from mlxd.errors import InvalidRequestError, excerpt

_MOST = 1000  # of a page


async def list_models(request: web.Request) -> web.Response:
    """Answers with the models and adapters that the key may ask for and the names of each, in the file's order: with all of them, or with
    the page that ``limit``, ``after_id`` and ``before_id`` ask for. Raises ``InvalidRequestError`` for a limit that is none.
    """
    entries = [_body(offer.status, name) for offer in models_of(request).offers() for name in offer.names]
    page, has_more = _page(entries, request.query)
    bounds = {"first_id": page[0]["id"] if page else None, "last_id": page[-1]["id"] if page else None}
    return web.json_response({"data": page, "has_more": has_more, **bounds})


async def show_model(request: web.Request) -> web.Response:
    """Answers with one model by its id or an alias. Raises ``ModelNotFoundError`` or ``ModelNotAllowedError``."""
    offer = models_of(request).offer(request.match_info["id"])
    request[MODEL] = offer.status.name
    return web.json_response(_body(offer.status, request.match_info["id"]))


def _body(status: ModelStatus, name: str) -> dict[str, Any]:
    """Returns Anthropic's model object. What only a loaded model knows is null before."""
    context = status.ready.context_length if status.ready else status.config.context_length
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": datetime.fromtimestamp(status.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lifecycle": "active",
        "max_input_tokens": context,
        "max_tokens": context,
    }


def _page(entries: Sequence[dict[str, Any]], query: Mapping[str, str]) -> tuple[Sequence[dict[str, Any]], bool]:
    """Returns the page that is asked for, and whether there is more in its direction."""
    ids, limit = [entry["id"] for entry in entries], _limit(query)
    if "before_id" in query:
        before = entries[: ids.index(query["before_id"])] if query["before_id"] in ids else []
        return before[-limit:], len(before) > limit
    after = entries[ids.index(query["after_id"]) + 1 :] if query.get("after_id") in ids else entries
    return after[:limit], len(after) > limit


def _limit(query: Mapping[str, str]) -> int:
    """Returns the most entries of a page: as many as there are, where none is asked for, for some clients read the first page only."""
    sent = query.get("limit", str(_MOST))
    if not sent.isdecimal() or not 1 <= int(sent) <= _MOST:
        raise InvalidRequestError(f"limit must be a number from 1 to {_MOST}, not {excerpt(sent)}", param="limit")
    return int(sent)
