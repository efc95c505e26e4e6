"""Every error mlxd raises on purpose.

::

    MlxdError                          500 internal_error
    ├── ConfigError                    the file is wrong: exit code 78, every problem at once
    ├── ListenError                    an address cannot be bound: exit code 69
    ├── RequestError                   the client's mistake (4xx)
    │   ├── InvalidRequestError        400 invalid_request (``param`` names the field)
    │   │   ├── UnknownParameterError  400 unknown_parameter: no such field
    │   │   ├── UnsupportedParameterError  400 unsupported_parameter: a field, or a value of it, that is not supported yet
    │   │   ├── UnsupportedTaskError       400 unsupported_task
    │   │   ├── ContextLengthError     400 context_length_exceeded
    │   │   └── CacheTooSmallError     400 cache_too_small: the prompt does not fit cache.memory
    │   ├── UnauthorizedError          401 invalid_api_key
    │   ├── ForbiddenError             403 forbidden (Host, Origin, role)
    │   │   └── ModelNotAllowedError   403 model_not_allowed: the key may not ask for this model
    │   ├── NotFoundError              404 not_found
    │   │   ├── ModelNotFoundError     404 model_not_found
    │   │   └── AdapterNotFoundError   404 adapter_not_found
    │   ├── MethodNotAllowedError      405 method_not_allowed
    │   ├── RequestTimeoutError        408 request_body_timeout
    │   ├── BodyTooLargeError          413 body_too_large
    │   └── UnsupportedMediaTypeError  415 unsupported_media_type
    │       └── ContentEncodingError   415 unsupported_media_type: compressed in a way that is not understood
    ├── QueueFullError                 429 queue_full (``retry_after``)
    ├── RateLimitError                 429 rate_limit_exceeded: a limit of the key (``retry_after``)
    ├── RequestCancelledError          499 request_cancelled: an operator ended it
    ├── SlowClientError                499 slow_client: it stopped reading, its request was cancelled
    ├── GenerationError                500 generation_failed: this request's computation failed
    │   └── NotFiniteError             500 logits_not_finite: the model computed what is no number
    ├── UnavailableError               503 (``retry_after``): try again
    │   ├── ModelLoadingError          503 model_loading
    │   ├── ModelFailedError           503 model_failed: an operator must act
    │   ├── AdapterFailedError         503 adapter_failed: likewise, of an adapter
    │   ├── ModelDrainedError          503 model_drained: an operator took it out of service
    │   ├── InsufficientMemoryError    503 insufficient_memory: all of memory.limit is reserved
    │   ├── WorkerLostError            503 worker_lost: crashed or hung under this request
    │   └── ShuttingDownError          503 shutting_down
    ├── DeadlineError                  504 request_timeout
    ├── MemoryPressureError            507 memory_pressure: a large prompt, while the machine is short of memory (``retry_after``)
    ├── ReloadRefusedError             409 reload_refused: valid, but it cannot be taken over
    ├── ReloadFailedError              500 reload_failed: taken over, but a model could not follow
    ├── StaleConfigError               412 stale_config: what runs is not what the caller thought
    ├── VersionMismatchError           daemon and worker are of different versions of mlxd
    ├── ModelSourceError               a model cannot be fetched or its directory is damaged
    │   ├── ModelUnreachableError      the network or a disk is in the way: it is tried again
    │   ├── DraftModelError            a draft model and the model it is to draft for do not go together
    │   └── AdapterSourceError         an adapter's files are damaged, of another model, or ask for what is not done
    └── DaemonUnreachableError         a command found no daemon at the admin address: exit code 69

An error carries its HTTP status, its stable ``code`` and OpenAI's ``type`` here and nowhere else. The
worker's errors cross the wire as ``(code, message, param, retry_after)`` and are rebuilt by ``from_code``.
"""

from collections.abc import Sequence
from typing import ClassVar

EXCERPT = 80  # characters of what somebody else wrote, as errors, logs and metrics repeat it
_PARAM = 300  # characters of a field's name, with a pointer into what it holds
_MESSAGE = 2_000  # characters of a whole message
_PROBLEM, _PROBLEMS = 500, 100  # characters of one problem of a configuration; problems that are told


def excerpt(text: str, most: int = EXCERPT) -> str:
    """Returns the beginning of what somebody else wrote, to be repeated: with "…" where it was cut, and no half of a character."""
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= most else f"{text[: most - 1]}…"


class MlxdError(Exception):
    """The base of all errors. ``message`` says what was wrong and what to do; it is shown to clients, and never longer than a page."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    kind: ClassVar[str] = "server_error"  # OpenAI's error ``type``
    longest: ClassVar[int] = _MESSAGE  # characters

    def __init__(self, message: str, *, param: str | None = None, retry_after: float | None = None) -> None:
        self.message = excerpt(message, self.longest)
        super().__init__(self.message)
        self.param = None if param is None else excerpt(param, _PARAM)
        self.retry_after = retry_after  # seconds


class ConfigError(MlxdError):
    """The configuration is invalid. ``problems`` holds one line of text for each problem."""

    code = "invalid_config"
    status = 422
    longest = _PROBLEMS * (_PROBLEM + 1)

    def __init__(self, problems: list[str]) -> None:
        untold = len(problems) - _PROBLEMS
        told = problems if untold <= 0 else [*problems[: _PROBLEMS - 1], f"and {untold + 1} more problems"]
        self.problems = [excerpt(problem, _PROBLEM) for problem in told]
        super().__init__("\n".join(self.problems))


class ListenError(MlxdError):
    """A listener cannot be bound, or another daemon holds its socket."""

    code = "cannot_listen"


class VersionMismatchError(MlxdError):
    """Daemon and worker are of different versions: mlxd was upgraded under a running daemon."""

    code = "version_mismatch"


class ModelSourceError(MlxdError):
    """A model's source cannot be resolved, fetched or read; the message names the file."""

    code = "model_source"


class ModelUnreachableError(ModelSourceError):
    """Where the model is fetched from, or kept, cannot be reached now: another try may find it."""

    code = "model_unreachable"


class DraftModelError(ModelSourceError):
    """A draft model cannot draft for the model it is configured for; the message names both."""

    code = "draft_model"


class AdapterSourceError(ModelSourceError):
    """An adapter's files cannot be read, or used with its model; the message names the file, and the tensor or key in it."""

    code = "adapter_source"


class RequestError(MlxdError):
    """The base of the client's mistakes."""

    status = 400
    code = "invalid_request"
    kind = "invalid_request_error"


class InvalidRequestError(RequestError):
    """A field is missing, unknown, of the wrong type, out of range or not supported yet."""


class UnknownParameterError(InvalidRequestError):
    """A field that no API has, or not in this place."""

    code = "unknown_parameter"


class UnsupportedParameterError(InvalidRequestError):
    """A known field asks for something that is not supported yet; it would be ignored."""

    code = "unsupported_parameter"


class UnsupportedTaskError(InvalidRequestError):
    """The model does not do what is asked of it: it generates text, or makes vectors of texts, or scores them."""

    code = "unsupported_task"


class ContextLengthError(InvalidRequestError):
    """The prompt does not fit the model's context."""

    code = "context_length_exceeded"


class CacheTooSmallError(InvalidRequestError):
    """The prompt does not fit the cache of its model, however long it waits."""

    code = "cache_too_small"


class UnauthorizedError(RequestError):
    """The request has no bearer token, or not one of ours."""

    status = 401
    code = "invalid_api_key"
    kind = "authentication_error"


class ForbiddenError(RequestError):
    """The listener's rules on Host, Origin, upgrade or role refuse the request."""

    status = 403
    code = "forbidden"
    kind = "permission_error"


class ModelNotAllowedError(ForbiddenError):
    """The model is there, and the key's holder may not ask for it."""

    code = "model_not_allowed"


class NotFoundError(RequestError):
    """There is no such path or thing."""

    status = 404
    code = "not_found"


class ModelNotFoundError(NotFoundError):
    """The name is no configured model and no alias of one."""

    code = "model_not_found"


class AdapterNotFoundError(NotFoundError):
    """The model has no adapter of that name."""

    code = "adapter_not_found"


class MethodNotAllowedError(RequestError):
    """The path exists; this method on it does not."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: Sequence[str] = (), param: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, param=param, retry_after=retry_after)
        self.allowed = tuple(allowed)


class RequestTimeoutError(RequestError):
    """The client did not send its body in time."""

    status = 408
    code = "request_body_timeout"


class BodyTooLargeError(RequestError):
    """The body exceeds ``server.max_body``."""

    status = 413
    code = "body_too_large"


class UnsupportedMediaTypeError(RequestError):
    """The body has another content type, or coding, than the call takes."""

    status = 415
    code = "unsupported_media_type"


class ContentEncodingError(UnsupportedMediaTypeError):
    """The body is compressed in a way that is not understood here."""


class QueueFullError(MlxdError):
    """The model's queue holds ``batching.max_queue`` requests already."""

    status = 429
    code = "queue_full"
    kind = "rate_limit_error"


class RateLimitError(MlxdError):
    """The key's holder has as much under way, or has used as much within a minute, as it may."""

    status = 429
    code = "rate_limit_exceeded"
    kind = "rate_limit_error"


class MemoryPressureError(MlxdError):
    """The machine is short of memory, and the request would take more of it than is given out until that is over."""

    status = 507
    code = "memory_pressure"


class RequestCancelledError(MlxdError):
    """An operator ended the request."""

    status = 499
    code = "request_cancelled"


class ReloadRefusedError(MlxdError):
    """A valid configuration that cannot be taken over: an address in use, a source that is not there. Nothing has changed."""

    status = 409
    code = "reload_refused"


class ReloadFailedError(MlxdError):
    """The configuration was taken over, but a model could not become what it is to be; what was good before serves on."""

    code = "reload_failed"


class StaleConfigError(MlxdError):
    """The configuration that runs is not the one the caller named."""

    status = 412
    code = "stale_config"


class SlowClientError(MlxdError):
    """The client stopped reading its stream; its queue overflowed."""

    status = 499
    code = "slow_client"


class GenerationError(MlxdError):
    """Computing this request failed; others went on."""

    code = "generation_failed"


class NotFiniteError(GenerationError):
    """The model's logits for this request are NaN or infinite, so that any token would be nonsense."""

    code = "logits_not_finite"


class UnavailableError(MlxdError):
    """It cannot be done now; ``retry_after`` says when to try again."""

    status = 503
    code = "unavailable"
    kind = "service_unavailable_error"


class ModelLoadingError(UnavailableError):
    """The model is on its way."""

    code = "model_loading"


class ModelFailedError(UnavailableError):
    """The model does not load or keeps crashing; it stays down until an operator acts."""

    code = "model_failed"


class AdapterFailedError(UnavailableError):
    """The adapter cannot be used; the model itself can. It stays so until an operator acts."""

    code = "adapter_failed"


class ModelDrainedError(UnavailableError):
    """An operator took the model out of service, for a while."""

    code = "model_drained"


class InsufficientMemoryError(UnavailableError):
    """``memory.limit`` has no room for a model, beside those that may not give way to it."""

    code = "insufficient_memory"


class WorkerLostError(UnavailableError):
    """The worker crashed or hung while it served this request."""

    code = "worker_lost"


class ShuttingDownError(UnavailableError):
    """The daemon is stopping."""

    code = "shutting_down"


class DeadlineError(MlxdError):
    """The request took longer than ``server.request_timeout``."""

    status = 504
    code = "request_timeout"
    kind = "timeout_error"


class DaemonUnreachableError(MlxdError):
    """Nothing, or something else than mlxd, answers at the admin address."""

    code = "daemon_unreachable"


def _tree(root: type[MlxdError]) -> dict[str, type[MlxdError]]:
    return {code: kind for child in root.__subclasses__() for code, kind in _tree(child).items()} | {root.code: root}


_BY_CODE = _tree(MlxdError)
CODES = frozenset(_BY_CODE)  # every code a client can meet: a bounded set, fit for a metric label


def from_code(code: str, message: str, *, param: str | None = None, retry_after: float | None = None) -> MlxdError:
    """Rebuilds an error that crossed the wire. An unknown code becomes the base class."""
    if code == ConfigError.code:
        return ConfigError(message.splitlines())
    return _BY_CODE.get(code, MlxdError)(message, param=param, retry_after=retry_after)
