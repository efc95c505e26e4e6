"""GET /admin/v1/…: models, configuration, status; and who is refused."""

from pathlib import Path

import aiohttp
import msgspec
import pytest
import structlog
from yarl import URL

from mlxd import __version__
from mlxd.admin.app import build_admin_app
from mlxd.config.address import parse_address
from mlxd.config.certificates import CertificateFacts, CertificateFiles, CertificateState
from mlxd.control.telemetry import CacheCounters, TokenCounters
from mlxd.listener.security import SecurityRules
from mlxd.listener.server import Listener
from mlxd.types import Limits, ModelState
from mlxd.wire.messages import Progress
from mlxd.wire.model_facts import DraftFacts
from tests.support.statuses import EMBEDS, HEARTBEAT, PAGED_CACHE, READY, SHA256, model_status, running_status


async def get(session, path, **kwargs):
    async with session.get(path, **kwargs) as response:
        return response.status, await response.json()


async def test_a_ready_model_in_full(daemon, admin):
    daemon.counters = CacheCounters(query_tokens=100, hit_tokens=60, hits=1, prefix_hits=2, misses=3)
    daemon.tokens = TokenCounters(prompt=40, generated=7, drafted=5, accepted=2)
    assert await get(admin, "/admin/v1/models/tiny") == (
        200,
        {
            "id": "tiny",
            "aliases": ["default"],
            "source": "builtin:smollm2-135m",
            "tasks": ["generate"],
            "desired_state": "ready",
            "state": "ready",
            "since": "2026-01-02T03:04:05.500Z",
            "pid": 42,
            "replacing": False,
            "leaving_pids": [],
            "differs": None,
            "progress": None,
            "restarts": 0,
            "restart_in_seconds": None,
            "last_error": None,
            "requests": {"running": 1, "waiting": 2},
            "memory": {
                "weights_bytes": 100,
                "kv_bytes": 20,
                "states_bytes": 0,
                "snapshots_bytes": 0,
                "media_bytes": 0,
                "draft_bytes": 0,
                "adapters_bytes": 0,
                "grammars_bytes": 3,
                "disk_bytes": 0,
                "transients_bytes": 17,
                "other_bytes": 160,
                "held_bytes": 300,
                "footprint_bytes": 300,
                "rss_bytes": 300,
                "mlx_active_bytes": 130,
                "mlx_cache_bytes": 7,
                "mlx_peak_bytes": 200,
            },
            "reserved_bytes": 300,
            "tokens": {"prompt": 40, "generated": 7, "drafted": 5, "accepted": 2},
            "time_to_first_token": {"bounds": [0.1, 1.0], "counts": [0, 0, 0]},
            "cache": {
                "kind": "auto",
                "blocks": None,
                "entries": 3,
                "snapshots": None,
                "used_bytes": 5,
                "cached_bytes": 15,
                "saved_bytes": None,
                "limit_bytes": 1000,
                "pinned_bytes": 0,
                "pins": [],
                "keys": {},
                "media": None,
                "query_tokens": 100,
                "hit_tokens": 60,
                "lookups": {"hit": 1, "prefix_hit": 2, "miss": 3},
            },
            "limits": None,
            "speculation": {"kinds": [], "reason": "its cache is not paged"},
            "attention": {
                "asked": "auto",
                "ways": [
                    {"way": "rows", "state": "used", "reason": "everywhere else"},
                    {"way": "gather", "state": "used", "reason": "32 rows of about 128 tokens"},
                    {"way": "kernel", "state": "unavailable", "reason": "needs Metal or CUDA"},
                ],
            },
            "keys_and_values": {
                "asked": "int8",
                "layers": [
                    {
                        "layers": 28,
                        "kv_heads": 3,
                        "key_dim": 64,
                        "value_dim": 64,
                        "window": None,
                        "type": "int8",
                        "group": 64,
                        "reason": 'cache.dtype = "int8"',
                    },
                    {
                        "layers": 2,
                        "kv_heads": 1,
                        "key_dim": 80,
                        "value_dim": 72,
                        "window": 128,
                        "type": "model",
                        "group": None,
                        "reason": "no multiples of 32",
                    },
                ],
                "token_bytes": 12240,
                "plain_token_bytes": 46080,
                "quality": {"tokens": 383, "perplexity": 18.14, "plain_perplexity": 18.1, "agreement": 0.995},
            },
            "adapters": [],
            "encoding": None,
            "runner": {"name": "simple", "reason": 'batching.mode = "simple"', "fallback": False, "compiled": None},
            "device": "cpu",
            "dtype": "float32",
            "context_length": 2048,
            "vocabulary_size": 49152,
            "facts": {
                "context_origin": 'config.json "max_position_embeddings"',
                "vocabulary_origin": "the width of the model's logits",
                "end_tokens": [{"id": 2, "text": "<|im_end|>", "origins": ['config.json "eos_token_id"']}],
                "chat_template_origin": "chat_template.jinja",
                "tools": "hermes",
                "tools_origin": "chat_template.jinja has <tool_call>",
                "reasoning": "none",
                "reasoning_origin": "nothing shows it",
                "weight_files": ["model.safetensors"],
                "weights_origin": "the one whole set of files",
                "library": "mlx-lm",
                "library_origin": 'config.json has no "vision_config"',
                "sight": "",
                "warnings": [],
                "draft": None,
            },
            "load_seconds": 1.5,
            "versions": {"mlx": "0.32.4", "mlx_lm": "0.32.2"},
        },
    )


async def test_a_draft_model_is_a_fact_of_the_model_it_drafts_for(daemon, admin):
    draft = DraftFacts(source="org/small", weight_bytes=9, dtype="float32", context_length=512)
    daemon.models.all = [running_status(ready=msgspec.structs.replace(READY, facts=msgspec.structs.replace(READY.facts, draft=draft)))]
    _, body = await get(admin, "/admin/v1/models/tiny")
    assert body["facts"]["draft"] == {"source": "org/small", "weight_bytes": 9, "dtype": "float32", "context_length": 512}


async def test_a_paged_model_shows_its_blocks_and_the_limits_its_worker_has(daemon, admin):
    paged = msgspec.structs.replace(READY, runner="paged")
    heartbeat = msgspec.structs.replace(HEARTBEAT, cache=PAGED_CACHE)
    daemon.models.all = [running_status(ready=paged, heartbeat=heartbeat, limits=Limits(max_sequences=7))]
    _, body = await get(admin, "/admin/v1/models/tiny")
    assert body["cache"]["blocks"] == {"used": 6, "shared": 2, "cached": 3, "free": 7}
    assert [body["cache"][name] for name in ("entries", "used_bytes", "cached_bytes", "saved_bytes")] == [None, 60, 30, 40]
    assert (body["limits"]["max_sequences"], body["limits"]["step_tokens"]) == (7, None)


@pytest.mark.parametrize(
    ("path", "found"),
    [("tiny", "tiny"), ("default", "tiny"), ("org/Name-4bit", "org/Name-4bit"), ("org%2FName-4bit", "org/Name-4bit")],
)
async def test_models_are_found_by_id_and_alias(admin, path, found):
    async with admin.get(URL(f"/admin/v1/models/{path}", encoded=True)) as response:  # "%2F" arrives as it is
        assert (response.status, (await response.json())["id"]) == (200, found)


async def test_the_list_has_the_files_order_and_the_same_objects(admin):
    _, body = await get(admin, "/admin/v1/models")
    assert [model["id"] for model in body["models"]] == ["tiny", "org/Name-4bit", "other"]
    assert (await get(admin, "/admin/v1/models/other"))[1] == body["models"][2]


async def test_a_model_that_embeds_says_how(daemon, admin):
    daemon.models.all = [running_status("mini", ready=EMBEDS)]
    daemon.models.all[0].config.remember_of_generation((("models", "mini", "cache", "memory"),))
    _, body = await get(admin, "/admin/v1/models/mini")
    assert body["tasks"] == ["embed"]
    assert [warning.partition(": ")[0] for warning in body["facts"]["warnings"]] == ["models.mini.cache.memory"]
    assert body["encoding"] == {
        "dimension": 384,
        "least_dimension": 32,
        "most_tokens": 256,
        "most_tokens_origin": "sentence_bert_config.json",
        "pooling": "mean",
        "pooling_origin": "1_Pooling/config.json",
        "normalized": True,
        "prompts": {"query": "query: "},
        "default_prompt": "query",
        "scores": "",
        "scores_origin": "",
    }


async def test_a_loading_model_shows_progress(daemon, admin):
    daemon.models.all = [model_status("tiny", ModelState.LOADING, pid=7, progress=Progress(stage="fetching", done=30, total=120))]
    _, body = await get(admin, "/admin/v1/models/tiny")
    assert body["progress"] == {"stage": "fetching", "done_bytes": 30, "total_bytes": 120, "fraction": 0.25}
    assert (body["runner"], body["memory"], body["device"], body["cache"]["limit_bytes"]) == (None, None, None, None)


async def test_a_stage_that_cannot_tell_has_no_fraction(daemon, admin):
    daemon.models.all = [model_status("tiny", ModelState.LOADING, progress=Progress(stage="warming"))]
    assert (await get(admin, "/admin/v1/models/tiny"))[1]["progress"]["fraction"] is None


async def test_a_failed_model_says_why(daemon, admin):
    daemon.models.all = [model_status("tiny", ModelState.FAILED, restarts=5, restart_in=2.5, last_error="killed by SIGKILL")]
    _, body = await get(admin, "/admin/v1/models/tiny")
    assert (body["state"], body["restarts"], body["restart_in_seconds"], body["last_error"]) == ("failed", 5, 2.5, "killed by SIGKILL")


async def test_an_unknown_model(admin):
    status, body = await get(admin, "/admin/v1/models/nobody")
    assert (status, body["error"]["code"], body["error"]["param"]) == (404, "model_not_found", "model")


async def test_the_configuration_and_its_etag(admin):
    async with admin.get("/admin/v1/config") as response:
        assert response.status == 200
        assert response.headers["ETag"] == f'"{SHA256}"'
        assert (await response.json())["config"] == {"admin": {"token": "<redacted>"}}


@pytest.mark.parametrize(
    ("sent", "status"),
    [(f'"{SHA256}"', 304), (f'W/"{SHA256}"', 304), (f'"old", "{SHA256}"', 304), ("*", 304), ('"old"', 200), ("garbage", 200)],
)
async def test_if_none_match(admin, sent, status):
    async with admin.get("/admin/v1/config", headers={"If-None-Match": sent}) as response:
        assert response.status == status
        assert response.headers["ETag"] == f'"{SHA256}"'
        assert bool(await response.read()) is (status == 200)


async def test_status_has_everything_at_a_glance(daemon, admin):
    daemon.config_error = "mlxd.toml:3: server.lisen: unknown key"
    _, body = await get(admin, "/admin/v1/status")
    assert body.pop("time") > "2026"
    assert [model["id"] for model in body.pop("models")] == ["tiny", "org/Name-4bit", "other"]
    assert body == {
        "version": __version__,
        "pid": 41,
        "started": "2026-01-02T03:04:05.500Z",
        "draining": False,
        "config": {
            "path": "/etc/mlxd.toml",
            "sha256": SHA256,
            "loaded": "2026-01-02T03:04:05.500Z",
            "last_reload_successful": False,
            "last_error": "mlxd.toml:3: server.lisen: unknown key",
        },
        "listeners": [{"role": "inference", "address": "127.0.0.1:8000", "certificate": None}],
        "memory": {"limit_bytes": 1000, "reserved_bytes": 300, "free_bytes": 700, "measures": [], "exchange": {"turns": [], "closed": []}},
    }


async def test_a_listener_that_speaks_tls_shows_its_certificate(daemon, admin):
    files = CertificateFiles("server.tls", Path("/etc/mlxd/tls.pem"), Path("/etc/mlxd/tls.key"))
    facts = CertificateFacts(names=("mlx.example",), valid_from=0.0, expires=86400.0, digests=("", ""), key_is_exposed=True)
    daemon.certificate = CertificateState("inference", files, facts, problem="server.tls.key: no such file")
    _, body = await get(admin, "/admin/v1/status")
    shown = body["listeners"][0]["certificate"]
    assert (shown["path"], shown["names"], shown["expires"]) == ("/etc/mlxd/tls.pem", ["mlx.example"], "1970-01-02T00:00:00.000Z")
    assert ["expired" in warning for warning in shown["warnings"]] == [True, False]
    assert shown["problem"] == "server.tls.key: no such file"


@pytest.mark.parametrize("path", ["/", "/admin", "/admin/v1/modelz", "/admin/v1/models/", "/metrics/other", "/v1/models"])
async def test_unknown_paths_are_json_404s(admin, path):
    status, body = await get(admin, path)
    assert (status, body["error"]["code"]) == (404, "not_found")
    assert path in body["error"]["message"]


async def test_a_method_that_a_path_lacks(admin):
    async with admin.post("/admin/v1/models/tiny", json={}) as response:
        assert response.status == 405
        assert (await response.json())["error"]["code"] == "method_not_allowed"


async def test_a_bug_of_ours_is_a_json_500_that_tells_nothing(daemon, admin):
    daemon.models.statuses = lambda: 1 / 0
    with structlog.testing.capture_logs() as logs:
        status, body = await get(admin, "/admin/v1/models")
    assert (status, body["error"]["code"]) == (500, "internal_error")
    assert "division" not in str(body)
    assert [line["event"] for line in logs] == ["request_crashed"]


@pytest.mark.parametrize("path", ["/metrics", "/admin/v1/status", "/admin/v1/config", "/admin/v1/models", "/admin/v1/models/tiny"])
async def test_tokens_guard_everything_but_the_probes(daemon, serve, path):
    url = await serve(build_admin_app(daemon.sources, lambda: SecurityRules(tokens=("full",), read_tokens=("read",))))
    async with aiohttp.ClientSession(url) as session:
        assert (await get(session, path))[0] == 401
        assert (await get(session, path, headers={"Authorization": "Bearer wrong"}))[0] == 401
        if path != "/metrics":
            assert (await get(session, path, headers={"Authorization": "Bearer read"}))[0] == 200


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Mode": "no-cors"}, {"Upgrade": "websocket"}]
)
async def test_browsers_are_kept_out(admin, headers):
    status, body = await get(admin, "/admin/v1/status", headers=headers)
    assert (status, body["error"]["code"]) == (403, "forbidden")


async def test_on_a_unix_socket(daemon, tmp_path):
    listener = Listener(build_admin_app(daemon.sources, SecurityRules), [parse_address(f"unix:{tmp_path}/admin.sock")])
    await listener.start()
    try:
        assert (tmp_path / "admin.sock").stat().st_mode & 0o777 == 0o600
        async with aiohttp.ClientSession("http://anything", connector=aiohttp.UnixConnector(str(tmp_path / "admin.sock"))) as session:
            assert (await get(session, "/admin/v1/models/tiny"))[0] == 200
    finally:
        await listener.stop()
