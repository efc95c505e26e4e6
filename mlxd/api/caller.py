"""Where a request came in, and the trace its client is in."""

from aiohttp import web

from mlxd.control.telemetry import Caller

_TRACE_CONTEXT = ("traceparent", "tracestate")  # https://www.w3.org/TR/trace-context/


def caller(request: web.Request) -> Caller:
    """Nothing of the client itself: no address, no name."""
    context = {name: ",".join(request.headers.getall(name)) for name in _TRACE_CONTEXT if name in request.headers}
    bound = request.transport.get_extra_info("sockname") if request.transport else None
    if isinstance(bound, tuple):
        return Caller(address=bound[0], port=bound[1], trace_context=context)
    return Caller(address=bound or None, trace_context=context)
