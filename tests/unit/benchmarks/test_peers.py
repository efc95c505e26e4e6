"""What is published of a run: the page with its tables, the charts, and where the picture is shown."""

import argparse
import json

import pytest

from benchmarks.engine import long_prompt, memory, throughput, ttft
from benchmarks.harness.measurements import Measurements
from benchmarks.harness.servers import MLX_LM, MLXD, VLLM_MLX
from benchmarks.peers.__main__ import COMPARISON
from benchmarks.peers.page import page
from benchmarks.peers.results import Results

FOUND = [
    (throughput.THROUGHPUT, "equal, 1 at once", [15.9, 16.1], [15.3, 15.1], [14.0, 14.2]),
    (throughput.THROUGHPUT, "equal, 8 at once", [64.0], [60.0], [58.0]),
    (throughput.THROUGHPUT, "mixed, 8 at once", [35.4], [24.5], [26.0]),
    (ttft.TTFT, ttft.COLD, [1595.0], [2446.0], [2800.0]),
    (ttft.TTFT, "10 at once, new: p95", [2494.0], [24309.0], []),
    (long_prompt.GAP, "beside: max", [537.0], [36900.0], [15000.0]),
    (memory.MEMORY, "16 at once, at most", [1300.0], [1700.0], [2600.0]),
]


@pytest.fixture
def results(tmp_path):
    measured = Measurements()
    for metric, scenario, *found in FOUND:
        for server, values in zip((MLXD, MLX_LM, VLLM_MLX), found, strict=True):
            for value in values:
                measured.add(metric, scenario, server, value)
    machine = {"cpu": "a processor", "cores": 2, "load_average": [0.1, 0, 0]}
    facts = {"date": "2026-11-27", "versions": {"mlxd": "1", "vllm-mlx": "2"}, "machine": machine, "options": {"model": "org/model"}}
    path = tmp_path / "peers.json"
    path.write_text(json.dumps({**facts, **measured.document()}))
    return path


def test_the_page_says_where_and_what_with_its_spread(results):
    text = page(Results.read(results))
    assert "2026-11-27; a processor, 2 cores, load 0.1; mlxd 1, vllm-mlx 2; org/model, 2 rounds" in text
    assert "| equal, 1 at once | 16.0 [15.9-16.1] | 15.2 [15.1-15.3] | 14.1 [14.0-14.2] | 1.05 [1.04-1.07] | 1.13 [1.13-1.14] |" in text
    assert "| 10 at once, new: p95 | 2494 | 24309 | - | 0.10 | - |" in text
    assert text.count("is better)") == 4  # nothing of a metric that was not measured


def test_a_run_has_every_figure_that_is_published():
    parser = argparse.ArgumentParser()
    COMPARISON.add_options(parser)
    bench = argparse.Namespace(args=argparse.Namespace(quick=False, **vars(parser.parse_args([]))), sized=lambda full, _: full)
    names = [scenario.name for scenario in COMPARISON.scenarios(bench)]
    assert len(names) == len(set(names)) == 15
    assert COMPARISON.users(bench) == 16


def test_charts_for_both_themes_and_the_readme(results, tmp_path):
    pytest.importorskip("matplotlib", reason="the bench extra is not installed")
    from benchmarks.peers.publish import publish  # noqa: PLC0415

    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- peers -->\nan older one\n<!-- end of peers -->\nafter\n")
    for _ in range(2):
        publish(results, tmp_path)
        shown = readme.read_text()
        assert shown.startswith("before\n<!-- peers -->\n<a")
        assert shown.endswith("</a>\n<!-- end of peers -->\nafter\n")
        assert "an older one" not in shown
        assert shown.count("docs/peers-dark.png") == 1
    for theme in ("light", "dark"):
        assert (tmp_path / "docs" / f"peers-{theme}.png").read_bytes().startswith(b"\x89PNG")
