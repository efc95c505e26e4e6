"""mlxd's admin API, over the unix socket its configuration names."""

from pathlib import Path
from typing import Any, Self

import aiohttp

from benchmarks.harness.errors import BenchmarkError


class Admin:
    """``async with Admin(socket) as admin``."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            "http://localhost", connector=aiohttp.UnixConnector(str(self._socket)), timeout=aiohttp.ClientTimeout(total=30)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def is_ready(self) -> bool:
        """All models are loaded. False also while nothing listens. Raises ``BenchmarkError`` if one has failed."""
        try:
            async with self._session.get("/readyz") as response:
                if response.status == 200:
                    return True
            failed = [model for model in await self.models() if model["state"] == "failed"]
        except (aiohttp.ClientError, OSError):
            return False
        if failed:
            raise BenchmarkError(f"mlxd could not load {failed[0]['id']}: {failed[0]['last_error']}")
        return False

    async def is_alive(self) -> bool:
        """The daemon answers at all."""
        return bool((await self._get("/livez"))["live"])

    async def inference_url(self) -> str:
        """Where port 0 turned out to be."""
        listeners = (await self._get("/admin/v1/status"))["listeners"]
        return "http://" + str(next(one["address"] for one in listeners if one["role"] == "inference"))

    async def models(self) -> list[dict[str, Any]]:
        """As ``GET /admin/v1/models`` has them."""
        return list((await self._get("/admin/v1/models"))["models"])

    async def model(self, name: str) -> dict[str, Any]:
        """As ``GET /admin/v1/models/NAME`` has it."""
        return await self._get(f"/admin/v1/models/{name}")

    async def evict(self, name: str) -> None:
        """Drops what a model's cache keeps for later requests."""
        async with self._session.post(f"/admin/v1/models/{name}/evict") as response:
            response.raise_for_status()

    async def disk_states(self) -> dict[str, str]:
        """What the caches on disk of all models do, as ``GET /admin/v1/cache`` has it."""
        directories = (await self._get("/admin/v1/cache"))["directories"]
        return {user["model"]: str(user["state"]) for directory in directories for user in directory["users"]}

    async def metrics(self) -> str:
        """As Prometheus gets it: text, not compressed."""
        async with self._session.get("/metrics", headers={"Accept-Encoding": "identity"}) as response:
            response.raise_for_status()
            return await response.text()

    async def _get(self, path: str) -> dict[str, Any]:
        async with self._session.get(path) as response:
            if response.status != 200:
                raise BenchmarkError(f"mlxd answered {response.status} to {path}: {(await response.text())[:500]}")
            return dict(await response.json())
