"""The codes of errors that requests are refused with, as far as each may come: counters of them start at 0."""

from mlxd.errors import (
    BodyTooLargeError,
    CacheTooSmallError,
    ContextLengthError,
    DeadlineError,
    ForbiddenError,
    GenerationError,
    InsufficientMemoryError,
    InvalidRequestError,
    MethodNotAllowedError,
    MlxdError,
    ModelDrainedError,
    ModelFailedError,
    ModelLoadingError,
    ModelNotAllowedError,
    ModelNotFoundError,
    NotFiniteError,
    NotFoundError,
    QueueFullError,
    RateLimitError,
    RequestCancelledError,
    RequestTimeoutError,
    ShuttingDownError,
    SlowClientError,
    UnauthorizedError,
    UnknownParameterError,
    UnsupportedMediaTypeError,
    UnsupportedParameterError,
    WorkerLostError,
)

REFUSED_BY_MODEL = tuple(
    kind.code
    for kind in (
        InvalidRequestError,
        UnknownParameterError,
        UnsupportedParameterError,
        ContextLengthError,
        CacheTooSmallError,
        QueueFullError,
        ModelLoadingError,
        ModelFailedError,
        ModelDrainedError,
        InsufficientMemoryError,
        RequestCancelledError,
        WorkerLostError,
        ShuttingDownError,
        GenerationError,
        NotFiniteError,
        DeadlineError,
        SlowClientError,
        MlxdError,
    )
)
REFUSED_BY_LISTENER = tuple(
    kind.code
    for kind in (
        InvalidRequestError,
        UnauthorizedError,
        ForbiddenError,
        ModelNotAllowedError,
        RateLimitError,
        NotFoundError,
        ModelNotFoundError,
        MethodNotAllowedError,
        RequestTimeoutError,
        BodyTooLargeError,
        UnsupportedMediaTypeError,
        MlxdError,
    )
)
