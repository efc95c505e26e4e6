"""Ids of calls: a model's own, and as this API writes them."""

import re

_PREFIX = "toolu_"
_ODD = re.compile(r"[^A-Za-z0-9_-]")


def tool_use_id(identity: str) -> str:
    """Returns the id under which a client sees a call."""
    return _PREFIX + _ODD.sub("_", identity.removeprefix("call_"))


def call_id(identity: str) -> str:
    """Returns the id of a call that comes back: what stands before it is this API's, and not for templates."""
    return identity.removeprefix(_PREFIX)
