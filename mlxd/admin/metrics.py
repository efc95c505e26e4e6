"""``GET /metrics`` and ``GET /metrics/vllm``: text or OpenMetrics, as the scraper asks; compressed if it likes."""

import gzip

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, gzip_accepted

from mlxd.admin.keys import METRICS, VLLM_METRICS
from mlxd.errors import NotFoundError


async def scrape(request: web.Request) -> web.Response:
    """Show the metrics, in Prometheus' text format or as OpenMetrics, as the scraper asks. 404 where they are switched off or on a listener
    of their own.
    """
    registry = request.app[METRICS]()
    if registry is None:
        raise NotFoundError("metrics are not served here: see metrics.enabled and metrics.listen in the configuration")
    return _answer(request, *_exposition(registry, ",".join(request.headers.getall(hdrs.ACCEPT, []))))


async def scrape_vllm(request: web.Request) -> web.Response:
    """Show the metrics under vLLM's names, for its dashboards and for gateways that route by load: always in Prometheus' text format. 404
    unless `metrics.vllm_compat` is switched on.
    """
    registry = request.app[VLLM_METRICS]()
    if registry is None:
        raise NotFoundError("metrics under vLLM's names are not served here: see metrics.vllm_compat, metrics.enabled and metrics.listen")
    # The library writes a colon as an underscore into OpenMetrics, and no dashboard would find a thing.
    return _answer(request, generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4)


def _answer(request: web.Request, body: bytes, content_type: str) -> web.Response:
    headers = {hdrs.CONTENT_TYPE: content_type, hdrs.VARY: "Accept, Accept-Encoding"}
    if gzip_accepted(",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, []))):
        body = gzip.compress(body, compresslevel=5)
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=body, headers=headers)


def _exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the library trips over a version that is no number
        encode, content_type = choose_encoder("")
    return encode(registry), content_type
