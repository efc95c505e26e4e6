"""GET /metrics over HTTP."""

import asyncio
import gzip

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from mlxd.admin.app import build_metrics_app
from mlxd.listener.security import SecurityRules
from mlxd.observability.metrics import Metrics


@pytest.fixture
def metrics(daemon):
    made = Metrics(daemon.models.statuses, daemon.ledger)
    daemon.registry = made.registry
    made.add_models(["tiny"])
    return made


async def scrape(session, path="/metrics", **headers):
    async with session.get(path, headers=headers) as response:
        return response.status, response.headers, await response.text()


async def test_text_by_default(metrics, admin):
    metrics.worker_restarted("tiny", "crash")
    status, headers, body = await scrape(admin)
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    samples = {(sample.name, *sample.labels.values()): sample.value for family in parse_text(body) for sample in family.samples}
    assert samples["mlxd_worker_restarts_total", "tiny", "crash"] == 1
    assert samples["mlxd_model_state", "org/Name-4bit", "ready"] == 1


async def test_openmetrics_when_asked(metrics, admin):
    _, headers, body = await scrape(admin, Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith("# EOF\n")
    assert any(family.name == "mlxd_requests" for family in parse_openmetrics(body))


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=abc", "text/plain;version=x", ";;;=,", "image/png"])
async def test_an_accept_header_nobody_understands_gets_text(metrics, admin, accept):
    status, headers, body = await scrape(admin, Accept=accept)
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    assert "mlxd_requests_total" in body


@pytest.mark.parametrize("accept", ["text/plain", "application/openmetrics-text; version=1.0.0"])
async def test_it_is_what_the_library_writes(daemon, admin, accept):
    daemon.registry = CollectorRegistry()
    for name in ("one", "two"):
        Histogram(f"{name}_seconds", "What it takes.", ["model"], registry=daemon.registry).labels("tiny").observe(1)
        Counter(name, "Of things.", registry=daemon.registry).inc()
    encode, content_type = choose_encoder(accept)
    _, headers, body = await scrape(admin, Accept=accept)
    assert (headers["Content-Type"], body) == (content_type, encode(daemon.registry).decode())


async def test_others_run_between_the_families_of_a_scrape(metrics, admin):
    """Of fifty models a scrape takes as long as some tokens of every stream."""
    turns = 0

    async def turn():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    class Counted(Collector):
        def collect(self):
            for number in range(100):
                seen.append(turns)
                yield GaugeMetricFamily(f"mlxd_made_up_{number}", "Of no use.", value=number)

    seen = []
    metrics.registry.register(Counted())
    beside = asyncio.create_task(turn())
    assert "mlxd_made_up_99 99.0" in (await scrape(admin))[2]
    beside.cancel()
    assert len(set(seen)) == len(seen) == 100


async def test_gzip_when_asked(metrics, serve, daemon):
    url = await serve(build_metrics_app(lambda: daemon.registry, lambda: daemon.vllm_registry, SecurityRules))
    async with aiohttp.ClientSession(url, auto_decompress=False) as session:
        async with session.get("/metrics", headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert b"mlxd_requests_total" in gzip.decompress(await response.read())
        async with session.get("/metrics", headers={"Accept-Encoding": "identity"}) as response:
            assert "Content-Encoding" not in response.headers
            assert b"mlxd_requests_total" in await response.read()


async def test_the_metrics_listener_serves_nothing_else(metrics, serve, daemon):
    url = await serve(build_metrics_app(lambda: daemon.registry, lambda: daemon.vllm_registry, SecurityRules))
    async with aiohttp.ClientSession(url) as session:
        assert (await scrape(session))[0] == 200
        async with session.get("/livez") as response:
            assert response.status == 200
        for path in ("/admin/v1/status", "/admin/v1/config", "/readyz"):
            async with session.get(path) as response:
                assert response.status == 404


async def test_switched_off_is_a_404_that_says_so(admin):
    async with admin.get("/metrics") as response:
        assert response.status == 404
        assert "metrics.enabled" in (await response.json())["error"]["message"]


async def test_switching_on_needs_no_new_application(daemon, admin):
    assert (await scrape(admin))[0] == 404
    daemon.registry = Metrics(daemon.models.statuses, daemon.ledger).registry
    assert (await scrape(admin))[0] == 200


async def test_vllm_names_only_where_asked_for(metrics, daemon, admin):
    status, _, body = await scrape(admin, "/metrics/vllm")
    assert status == 404
    assert "metrics.vllm_compat" in body
    daemon.vllm_registry = metrics.vllm.registry  # as a reload does
    status, headers, body = await scrape(admin, "/metrics/vllm")
    assert (status, headers["Content-Type"].partition(";")[0]) == (200, "text/plain")
    assert 'vllm:num_requests_running{engine="0",model_name="tiny"} 1.0' in body
    assert "mlxd_" not in body
    assert "vllm:" not in (await scrape(admin))[2]


@pytest.mark.parametrize("accept", ["application/openmetrics-text;version=1.0.0", "text/plain;version=1.0.0;escaping=dots", "*/*"])
async def test_vllm_names_have_their_colon_whatever_is_asked_for(metrics, daemon, admin, accept):
    daemon.vllm_registry = metrics.vllm.registry
    _, headers, body = await scrape(admin, "/metrics/vllm", Accept=accept)
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    names = {sample.name for family in parse_text(body) for sample in family.samples}
    assert all(name.startswith("vllm:") for name in names)


async def test_vllm_names_on_a_listener_of_their_own(metrics, serve, daemon):
    url = await serve(build_metrics_app(lambda: daemon.registry, lambda: daemon.vllm_registry, SecurityRules))
    async with aiohttp.ClientSession(url) as session:
        assert (await scrape(session, "/metrics/vllm"))[0] == 404
        daemon.vllm_registry = metrics.vllm.registry
        assert (await scrape(session, "/metrics/vllm"))[0] == 200
