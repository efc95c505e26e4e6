"""Where a request came in, by whose key, and the trace its client is in."""

from aiohttp import web

from mlxd.control.telemetry import Caller
from mlxd.listener.security import PRINCIPAL

_TRACE_CONTEXT = ("traceparent", "tracestate")  # https://www.w3.org/TR/trace-context/
_LONGEST_CONTEXT = 1024  # characters; twice what 3.3.1.5 there asks for. A longer one is not cut but left out


def caller(request: web.Request) -> Caller:
    """Returns where the request came in, and nothing of the client itself but the name of its key and its trace: no address."""
    sent = {name: ",".join(request.headers.getall(name)) for name in _TRACE_CONTEXT if name in request.headers}
    context = {name: value for name, value in sent.items() if len(value) <= _LONGEST_CONTEXT}
    key = request[PRINCIPAL].name
    bound = request.transport.get_extra_info("sockname") if request.transport else None
    if isinstance(bound, tuple):
        return Caller(address=bound[0], port=bound[1], key=key, trace_context=context)
    return Caller(address=bound or None, key=key, trace_context=context)
