"""The import rule of the architecture, enforced by reading imports."""

from pathlib import Path

import mlxd
from tests.support.source_files import source_file

ROOT = Path(mlxd.__file__).parent

# What each part may import of ours; the longest matching name decides.
ALLOWED = {
    "errors": set(),
    "adapter_terms": set(),
    "cache_terms": set(),
    "disk_terms": set(),
    "media_terms": set(),
    "types": {"adapter_terms", "cache_terms", "disk_terms", "media_terms"},
    "child_process": set(),
    "lasting_imports": set(),
    "scratch": set(),
    "quantities": set(),
    "disk_cache": {"disk_terms", "errors"},
    "footprint": set(),
    "config": {"cache_terms", "errors", "types"},
    "wire": {"adapter_terms", "errors", "types"},
    "client": {"adapter_terms", "child_process", "scratch", "wire", "errors", "types"},
    "control": {
        "adapter_terms",
        "cache_terms",
        "disk_cache",
        "disk_terms",
        "config",
        "wire",
        "client.worker_client",
        "quantities",
        "errors",
        "types",
    },
    "listener": {"config", "errors", "types"},
    "api": {"adapter_terms", "listener", "control", "client", "config", "wire", "media_terms", "errors", "types"},
    "admin": {"adapter_terms", "cache_terms", "disk_cache", "disk_terms", "listener", "control", "config", "wire", "errors", "types"},
    "observability": {"adapter_terms", "cache_terms", "disk_terms", "media_terms", "control", "config", "wire", "errors", "types"},
    "service": {"control", "client.hang_watch", "config", "wire", "observability.logging", "errors", "types"},
    "terminal": {"child_process", "config", "quantities", "errors", "types"},
    "worker.encoded_input": set(),
    "worker.encoded_prompt": {"media_terms"},
    "worker.servable": {"worker.engine", "worker.text", "wire"},
    "worker.text": {"media_terms", "worker.encoded_input", "worker.encoded_prompt", "wire", "errors", "types"},
    "worker.text.constraints": {"worker.encoded_prompt", "worker.engine.constraint", "worker.text", "wire", "errors", "types"},
    "worker.facts": {"adapter_terms", "scratch", "wire", "errors", "types"},
    "worker.fetch": {"worker.facts", "quantities", "errors", "types"},
    "worker.engine": {
        *("worker.encoded_input", "worker.encoded_prompt", "worker.facts.adapters", "worker.kv"),
        *("adapter_terms", "cache_terms", "media_terms", "quantities", "wire", "errors", "types"),
    },
    "worker.kv": {"disk_cache.tier", "disk_terms", "worker.encoded_prompt", "quantities", "errors", "types"},
    "worker.runtime": {
        *(
            "worker.encoded_input",
            "worker.encoded_prompt",
            "worker.kv",
            "worker.engine",
            "worker.facts",
            "worker.fetch",
            "worker.servable",
            "worker.text",
        ),
        *("disk_cache", "disk_terms", "footprint", "media_terms", "wire", "errors", "types"),
    },
    "worker": {"adapter_terms", "cache_terms", "media_terms", "lasting_imports", "footprint", "scratch", "wire", "errors", "types"},
}
EVERYTHING_BUT_THE_WORKER = {"daemon", "takeover", "cli", "__main__", "__init__"}

MLX = {"mlx", "mlx_lm", "mlx_vlm"}
HTTP = {"aiohttp", "prometheus_client"}
MAY_IMPORT = {
    "llguidance": {"worker.text.constraints"},
    "opentelemetry": {"observability.otlp"},  # an extra: nobody else may need it
    "PIL": {"worker.runtime.vision"},  # another, as is what follows
    "av": {"worker.runtime.vision"},
    "mlx_vlm": {"worker.runtime.vision"},
    "transformers": {"worker.runtime.vision"},
    **{name: {"worker.runtime"} for name in MLX},
    **{name: {"listener", "api", "admin", "observability", "daemon", "takeover", "cli"} for name in HTTP},
}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts), path


def inside(name, package):
    return name == package or name.startswith(package + ".")


def layer_of(module):
    found = [layer for layer in ALLOWED if inside(module, layer)]
    return max(found, key=len) if found else None


def violations(module, path):
    layer = layer_of(module)
    for full in source_file(path).imports:
        top = full.split(".")[0]
        if top in MAY_IMPORT and not any(inside(module, package) for package in MAY_IMPORT[top]):
            yield f"{module} imports {full}"
        if top != "mlxd" or full in {"mlxd", "mlxd.__version__"}:
            continue
        target = full.removeprefix("mlxd.")
        if layer is None:
            if inside(target, "worker"):
                yield f"{module} imports {full}"
        elif not inside(target, layer) and not any(inside(target, allowed) for allowed in ALLOWED[layer]):
            yield f"{module} imports {full}"


def test_every_module_belongs_to_a_layer():
    homeless = [name for name, _ in modules() if layer_of(name) is None and name.split(".")[0] not in EVERYTHING_BUT_THE_WORKER]
    assert homeless == []


def test_imports_respect_the_layers():
    assert [found for module, path in modules() for found in violations(module, path)] == []


def test_nothing_is_allowed_that_nobody_needs():
    """But errors and types, which everything may import."""
    used = {(layer_of(module), full.removeprefix("mlxd.")) for module, path in modules() for full in source_file(path).imports}
    for layer, allowed in ALLOWED.items():
        needless = {other for other in allowed if not any(one == layer and inside(target, other) for one, target in used)}
        assert needless <= {"errors", "types"}, f"{layer} needs nothing of {needless}"


def test_the_rule_catches_what_it_forbids(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("import mlx.core as mx\nfrom mlxd.worker import main\nfrom mlxd.api.app import build_app\n")
    assert len(list(violations("control.bad", bad))) == 3
