"""The servers that are compared: mlxd with a generated configuration, mlx_lm.server, vllm-mlx."""

import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.harness.admin import Admin
from benchmarks.harness.client import Client
from benchmarks.harness.process import ServerProcess, free_port

MLXD, SIMPLE, OTHER, MLX_LM, VLLM_MLX = "mlxd", "mlxd simple", "other mlxd", "mlx_lm.server", "vllm-mlx"  # names in tables

_LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class MlxdModel:
    """A ``[models.NAME]`` of the generated file: what differs from the defaults, by table."""

    source: str
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # {"batching": {"mode": "simple"}}
    name: str = "bench"

    def with_table(self, table: str, **values: object) -> "MlxdModel":
        """These values beside those there are."""
        tables = {**self.tables, table: {**self.tables.get(table, {}), **values}}
        return MlxdModel(self.source, tables, self.name)

    def named(self, name: str) -> "MlxdModel":
        """The same under another name."""
        return MlxdModel(self.source, self.tables, name)

    def toml(self) -> str:
        """JSON's strings, numbers, booleans and arrays are TOML's too."""
        lines = [f"[models.{self.name}]", f"source = {json.dumps(self.source)}"]
        for table, values in self.tables.items():
            lines += [f"[models.{self.name}.{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Mlxd:
    """A daemon that runs, and where it listens."""

    url: str
    admin: Admin
    process: ServerProcess

    def client(self, model: str, name: str = MLXD) -> Client:
        """For one of its models."""
        return Client(name, self.url, model, self.process)


@asynccontextmanager
async def mlxd(models: Sequence[MlxdModel], directory: Path, python: str = sys.executable) -> AsyncIterator[Mlxd]:
    """A daemon on port 0 with all of ``models`` loaded, run by ``python``. ``directory`` is empty and its own."""
    socket, config = directory / "admin.sock", directory / "mlxd.toml"
    config.write_text(
        f'[server]\nlisten = "127.0.0.1:0"\n[admin]\nlisten = {json.dumps(f"unix:{socket}")}\n' + "".join(model.toml() for model in models)
    )
    command = [python, "-P", "-m", "mlxd", "--config", str(config)]
    with ServerProcess(MLXD, command, directory / "log") as process:
        async with Admin(socket) as admin:
            await process.until(admin.is_ready)
            yield Mlxd(await admin.inference_url(), admin, process)


@asynccontextmanager
async def mlx_lm_server(model: Path, directory: Path) -> AsyncIterator[Client]:
    """mlx-lm's own server with its defaults, in this environment."""
    port = free_port()
    arguments = ["mlx_lm.server", "--model", str(model), "--host", "127.0.0.1", "--port", str(port)]
    with ServerProcess(MLX_LM, [sys.executable, str(_LAUNCHER), *arguments], directory / "log") as process:
        url = f"http://127.0.0.1:{port}"
        await process.until(lambda: _answers(f"{url}/health"))  # the model loads meanwhile: the warm-up waits for it
        async with Client(MLX_LM, url, "default_model", process) as client:
            yield client


@asynccontextmanager
async def vllm_mlx(python: str, model: Path, directory: Path) -> AsyncIterator[Client]:
    """vllm-mlx as its guide starts it in production, in the environment of ``python``."""
    port = free_port()
    arguments = ["vllm_mlx.cli", "serve", str(model), "--served-model-name", "bench", "--host", "127.0.0.1", "--port", str(port)]
    arguments += ["--continuous-batching", "--use-paged-cache"]
    with ServerProcess(VLLM_MLX, [python, str(_LAUNCHER), *arguments], directory / "log") as process:
        url = f"http://127.0.0.1:{port}"
        await process.until(lambda: _answers(f"{url}/v1/models"))
        async with Client(VLLM_MLX, url, "bench", process) as client:
            yield client


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session, session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
