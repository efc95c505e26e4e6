"""An error as it crosses the wire."""

from typing import Self

import msgspec

from mlxd.errors import MlxdError


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An ``MlxdError`` as it crosses the wire; ``errors.from_code`` makes it one again."""

    code: str
    message: str
    param: str | None = None
    retry_after: float | None = None  # seconds

    @classmethod
    def of(cls, error: MlxdError) -> Self:
        """Returns what of ``error`` crosses the wire."""
        return cls(code=error.code, message=error.message, param=error.param, retry_after=error.retry_after)
