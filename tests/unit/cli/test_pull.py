"""``mlxd pull``: what it fetches, one after the other; fetching itself is tested in ``tests/unit/worker_fetch``."""

import pytest

from mlxd.terminal import pull as pulling

FILE = """
[defaults]
batching.mode = "continuous"
speculation.draft = "./small"

[models.large]
source = "org/large"

[models.other]
source = "org/other"
speculation.draft = "org/tiny"

[models.simple]
source = "org/large"
batching.mode = "simple"
"""


@pytest.fixture
def pulled(monkeypatch):
    found = []

    def pull(source, _console, kind="model"):
        found.append(source if kind == "model" else f"adapter {source}")
        return f"/models/{source}"

    monkeypatch.setattr(pulling, "pull", pull)
    return found


async def test_one_model(run, pulled):
    ran = await run("pull", "org/large")
    assert (ran.code, pulled) == (0, ["org/large"])
    assert "org/large is ready in /models/org/large" in ran.err


async def test_all_that_a_file_names_draft_models_and_adapters_included_each_once(run, pulled, tmp_path):
    adapters = "".join(f'[models.other.adapters.{name}]\nsource = "org/lora"\n' for name in ("a", "b"))
    (tmp_path / "mlxd.toml").write_text(FILE + adapters)
    assert (await run("pull", "--config", str(tmp_path / "mlxd.toml"))).code == 0
    assert pulled == ["org/large", f"{tmp_path}/small", "org/other", "org/tiny", "adapter org/lora"]


async def test_no_file_and_no_model(run, pulled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = await run("pull")
    assert (ran.code, pulled) == (78, [])
    assert "mlxd.toml: no such file" in ran.err
