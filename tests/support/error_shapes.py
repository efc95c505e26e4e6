"""The shapes of errors, by the API whose path was asked."""

_ANTHROPIC = "/v1/messages"
_ANTHROPIC_TYPES = {
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "timeout_error",
    "api_error",
    "overloaded_error",
}


def check_error(body, path, headers=(), what=""):
    """Whether an error's body is what the clients read that ask for this path with these headers: a test fails where it is not."""
    is_unknown_path = body.get("type") == "error"  # whose clients it has is told by their headers
    if path.startswith(_ANTHROPIC) or ("anthropic-version" in headers and is_unknown_path):
        assert body["type"] == "error", what
        assert body["error"]["type"] in _ANTHROPIC_TYPES, what
    else:
        assert set(body["error"]) >= {"message", "type", "param", "code"}, what
    assert isinstance(body["error"]["message"], str), what
    assert body["error"]["message"], what
