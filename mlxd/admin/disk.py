"""``GET`` and ``DELETE /admin/v1/cache``, and ``DELETE …/models/{id}/cache``: what is kept on disk."""

from collections.abc import Sequence

from aiohttp import web

from mlxd.admin import answers
from mlxd.admin.exchange import reply
from mlxd.admin.keys import SOURCES, AdminSources
from mlxd.control.disk_directories import configured
from mlxd.control.model.status import ModelStatus
from mlxd.disk_cache.survey import Removal, Survey

_SHOWN = 12  # hexadecimal digits of an identity


async def show(request: web.Request) -> web.Response:
    """Show what the directories hold that models are configured to keep blocks in. One that does not answer within ten seconds says so."""
    sources = request.app[SOURCES]
    found = configured(sources.models.statuses())
    surveys = [(await sources.disks.survey(path), disk.limit, users) for path, (disk, users) in found.items()]
    return reply(answers.DiskDirectoryList(directories=[describe(survey, limit, users) for survey, limit, users in surveys]))


async def remove_all(request: web.Request) -> web.Response:
    """Remove everything from these directories. Models go on, and keep what leaves memory from then on."""
    return reply(await _removed(request.app[SOURCES], None))


async def remove(request: web.Request) -> web.Response:
    """Remove what these directories hold of one model, whatever its weights were."""
    sources = request.app[SOURCES]
    return reply(await _removed(sources, sources.models.identify(request.match_info["id"])))


def describe(survey: Survey, limit: int | None, users: Sequence[ModelStatus] = ()) -> answers.DiskDirectory:
    """Returns a directory as the API shows it, with the models that ``users`` say keep blocks there."""
    caches = [
        answers.DiskCache(
            model=row.model, weights=row.identity.hex()[:_SHOWN], blocks=row.blocks, bytes=row.size, used=answers.timestamp(row.used)
        )
        for row in survey.caches
    ]
    return answers.DiskDirectory(
        path=survey.path,
        bytes=survey.size,
        limit_bytes=limit,
        caches=caches,
        users=[_user(status) for status in users],
        problem=survey.problem,
    )


def describe_removal(removal: Removal) -> answers.DiskRemoval:
    """Describes what was removed from a directory."""
    return answers.DiskRemoval(path=removal.path, blocks=removal.blocks, bytes=removal.size, problem=removal.problem)


async def _removed(sources: AdminSources, model: str | None) -> answers.DiskRemovalList:
    paths = configured(sources.models.statuses())
    return answers.DiskRemovalList(removed=[describe_removal(await sources.disks.remove(path, model)) for path in paths])


def _user(status: ModelStatus) -> answers.DiskUser:
    figures = status.heartbeat.cache.disk if status.heartbeat else None
    return answers.DiskUser(
        model=status.name, state=figures.state if figures else None, reason=figures.reason if figures else "it has no worker"
    )
