"""``GET /metrics`` and ``GET /metrics/vllm``: text or OpenMetrics, as the scraper asks; compressed if it likes.

A scrape of fifty models has some 15,000 samples, which take the library a quarter of a second. So they are written family by family, and
streams of tokens go on in between.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Iterator

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, gzip_accepted
from prometheus_client.registry import Collector
from typing_extensions import override

from mlxd.admin.keys import METRICS, VLLM_METRICS
from mlxd.errors import NotFoundError

_GZIP = zlib.MAX_WBITS | 16  # as zlib is asked for gzip's header and trailer


async def scrape(request: web.Request) -> web.Response:
    """Show the metrics, in Prometheus' text format or as OpenMetrics, as the scraper asks. 404 where they are switched off or on a listener
    of their own.
    """
    registry = request.app[METRICS]()
    if registry is None:
        raise NotFoundError("metrics are not served here: see metrics.enabled and metrics.listen in the configuration")
    encode, content_type = _encoder(",".join(request.headers.getall(hdrs.ACCEPT, [])))
    return await _answer(request, _pieces(registry, encode), content_type)


async def scrape_vllm(request: web.Request) -> web.Response:
    """Show the metrics under vLLM's names, for its dashboards and for gateways that route by load: always in Prometheus' text format. 404
    unless `metrics.vllm_compat` is switched on.
    """
    registry = request.app[VLLM_METRICS]()
    if registry is None:
        raise NotFoundError("metrics under vLLM's names are not served here: see metrics.vllm_compat, metrics.enabled and metrics.listen")
    # The library writes a colon as an underscore into OpenMetrics, and no dashboard would find a thing.
    return await _answer(request, _pieces(registry, generate_latest), CONTENT_TYPE_PLAIN_0_0_4)


async def _answer(request: web.Request, pieces: AsyncIterator[bytes], content_type: str) -> web.Response:
    headers = {hdrs.CONTENT_TYPE: content_type, hdrs.VARY: "Accept, Accept-Encoding"}
    if not gzip_accepted(",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, []))):
        return web.Response(body=b"".join([piece async for piece in pieces]), headers=headers)
    gzip = zlib.compressobj(level=5, wbits=_GZIP)
    compressed = [gzip.compress(piece) async for piece in pieces]
    return web.Response(body=b"".join([*compressed, gzip.flush()]), headers=headers | {hdrs.CONTENT_ENCODING: "gzip"})


class _Family(Collector):
    """A registry, to an encoder, that holds one family of samples or none."""

    def __init__(self, *families: Metric) -> None:
        self._families = families

    @override
    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


async def _pieces(registry: CollectorRegistry, encode: Callable[[Collector], bytes]) -> AsyncIterator[bytes]:
    """Yields the exposition, and lets others run after each family."""
    end = encode(_Family())  # of OpenMetrics, which has a mark there
    for family in registry.collect():
        yield encode(_Family(family)).removesuffix(end)
        await asyncio.sleep(0)
    yield end


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # the library trips over a version that is no number
        return choose_encoder("")
