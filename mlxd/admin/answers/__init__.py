"""The documents of the admin API, declared once: what is sent, what its OpenAPI description says, and its reference.

Times are RFC 3339 in UTC; sizes are bytes, spans seconds; what is unknown is null.
"""

from mlxd.admin.answers.config import (
    CacheShareChange,
    ConfigDocument,
    FieldChange,
    ListenerAction,
    ModelAction,
    PlanDocument,
    ReloadOutcome,
    Validation,
)
from mlxd.admin.answers.daemon import (
    ConfigState,
    ListenerState,
    Live,
    LogLevel,
    Memory,
    MemoryTotals,
    ModelMemory,
    Readiness,
    Status,
)
from mlxd.admin.answers.document import ErrorAnswer, ErrorBody, timestamp
from mlxd.admin.answers.holders import ApiKey, ApiKeyList, KeyLimits, KeyTokens
from mlxd.admin.answers.models import (
    Blocks,
    Cache,
    EndToken,
    Facts,
    Histogram,
    LoadProgress,
    Lookups,
    Model,
    ModelList,
    RequestCounts,
    Runner,
    Tokens,
    WorkerLimits,
    WorkerMemory,
)
from mlxd.admin.answers.operations import Eviction, EvictionList, Operation, OperationList
from mlxd.admin.answers.requests import Cancelled, Request, RequestList

__all__ = [
    "ApiKey",
    "ApiKeyList",
    "Blocks",
    "Cache",
    "CacheShareChange",
    "Cancelled",
    "ConfigDocument",
    "ConfigState",
    "EndToken",
    "ErrorAnswer",
    "ErrorBody",
    "Eviction",
    "EvictionList",
    "Facts",
    "FieldChange",
    "Histogram",
    "KeyLimits",
    "KeyTokens",
    "ListenerAction",
    "ListenerState",
    "Live",
    "LoadProgress",
    "LogLevel",
    "Lookups",
    "Memory",
    "MemoryTotals",
    "Model",
    "ModelAction",
    "ModelList",
    "ModelMemory",
    "Operation",
    "OperationList",
    "PlanDocument",
    "Readiness",
    "ReloadOutcome",
    "Request",
    "RequestCounts",
    "RequestList",
    "Runner",
    "Status",
    "Tokens",
    "Validation",
    "WorkerLimits",
    "WorkerMemory",
    "timestamp",
]
