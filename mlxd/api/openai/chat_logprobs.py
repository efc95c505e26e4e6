"""``choices[].logprobs`` of chats: an entry for each token that was generated, reasoning and calls among them."""

from collections.abc import Sequence
from typing import Any

from mlxd.wire.logprobs import Candidate, TokenLogprobs


def chat_logprobs(tokens: Sequence[TokenLogprobs]) -> dict[str, Any] | None:
    """Returns the log-probabilities of the tokens; None where there are none."""
    return {"content": token_logprobs(tokens), "refusal": None} if tokens else None


def token_logprobs(tokens: Sequence[TokenLogprobs]) -> list[dict[str, Any]]:
    """Returns an entry for each token."""
    return [_token(token) for token in tokens]


def _token(token: TokenLogprobs) -> dict[str, Any]:
    return {**_spelled(token), "top_logprobs": [_spelled(candidate) for candidate in token.top]}


def _spelled(token: TokenLogprobs | Candidate) -> dict[str, Any]:
    return {"token": token.text, "logprob": token.logprob, "bytes": list(token.raw)}
