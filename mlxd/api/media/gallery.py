"""All pictures and films of a request: counted, fetched side by side, each file once, and put where the conversation shows them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from itertools import accumulate
from typing import TypeVar

import msgspec
from aiohttp import web

from mlxd.api.media.allowance import Allowance, Held, too_large, too_much
from mlxd.api.media.asked import AskedMedia, Inline, Source, asked_of
from mlxd.api.media.base64_text import decoded
from mlxd.api.media.fetch import Fetch
from mlxd.api.media.prompts import media_of
from mlxd.api.media.resolver import Lookup, system_lookup
from mlxd.config.schema import MOST_MEDIA, MediaTable
from mlxd.errors import InvalidRequestError, MlxdError
from mlxd.types import ChatMessage
from mlxd.wire.prompts import ChatPrompt, Prompt

P = TypeVar("P", bound=Prompt)

_AT_ONCE = 64  # fetches of all requests
_OF_A_REQUEST = 8
_MOST_FILES = 512  # of a request, so that none has a daemon ask others thousands of times
_SMALL = 64 * 1024  # characters of base64, decoded in a tenth of a millisecond
_DECODING = ThreadPoolExecutor(max_workers=1, thread_name_prefix="media-base64")


class Gallery:
    """What a daemon's requests show."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._held = Held()
        self._fetches = asyncio.Semaphore(_AT_ONCE)

    @property
    def held(self) -> int:
        """Returns how many bytes of pictures and films requests have that are under way."""
        return self._held.bytes

    @asynccontextmanager
    async def shown(self, prompt: P, settings: MediaTable) -> AsyncIterator[P]:
        """Yields the prompt with the files of all that it shows, which are accounted for as long as the block lasts. Raises
        ``InvalidRequestError`` that names the part whose file cannot be had.
        """
        asked = asked_of(media_of(prompt))
        if not asked:
            yield prompt
            return
        check_counts(asked, settings)
        with Allowance(self._held) as allowance:
            files = await self._files(asked, settings, allowance.take)
            check_total(asked, files)
            yield _filled(prompt, files, settings)

    async def _files(self, asked: Sequence[AskedMedia], settings: MediaTable, take: Callable[[int], None]) -> Mapping[Source, bytes]:
        first = {source: media.param_of(number) for media in reversed(asked) for number, source in reversed(list(enumerate(media.sources)))}
        turn = asyncio.Semaphore(_OF_A_REQUEST)

        async def had(source: Source, param: str) -> bytes:
            try:
                async with turn:
                    return await self._file(source, settings, take)
            except InvalidRequestError as error:
                raise type(error)(f"{param} {error.message}", param=param) from None

        try:
            async with asyncio.TaskGroup() as group:
                tasks = {source: group.create_task(had(source, param)) for source, param in reversed(first.items())}
        except ExceptionGroup as failed:  # of all that went wrong, what came first; the rest was cancelled
            raise next((error for error in failed.exceptions if isinstance(error, MlxdError)), failed) from None
        return {source: task.result() for source, task in tasks.items()}

    async def _file(self, source: Source, settings: MediaTable, take: Callable[[int], None]) -> bytes:
        if isinstance(source, Inline):
            return await _of_base64(source, settings, take)
        async with self._fetches:
            return await Fetch(source.url, settings, take, self._lookup).run()


GALLERY = web.AppKey("gallery", Gallery)


def check_counts(asked: Sequence[AskedMedia], settings: MediaTable) -> None:
    """Raises ``InvalidRequestError`` for more pictures, or frames of a film, than there may be."""
    if len(asked) > settings.max_images:
        message = f"the request shows {len(asked)} pictures and films; it may show {settings.max_images} (server.media.max_images)"
        raise InvalidRequestError(message, param=asked[settings.max_images].param)
    for media in asked:
        if len(media.sources) > settings.max_frames:
            message = f"{media.param} has {len(media.sources)} frames; there may be {settings.max_frames} (server.media.max_frames)"
            raise InvalidRequestError(message, param=media.param)
    beyond = _first_beyond(_MOST_FILES, asked, [len(media.sources) for media in asked])
    if beyond is not None:
        raise InvalidRequestError(f"{beyond.param} is too much: a request may name {_MOST_FILES} files, frames too", param=beyond.param)


def check_total(asked: Sequence[AskedMedia], files: Mapping[Source, bytes]) -> None:
    """Raises ``InvalidRequestError`` for more than a worker is sent at once: there, a picture that is shown twice comes twice."""
    beyond = _first_beyond(MOST_MEDIA, asked, [sum(len(files[source]) for source in media.sources) for media in asked])
    if beyond is not None:
        raise InvalidRequestError(f"{beyond.param} {too_much().message}", param=beyond.param)


def _first_beyond(most: int, asked: Sequence[AskedMedia], counts: Sequence[int]) -> AskedMedia | None:
    """Returns the one with which the sum of the counts becomes more than ``most``; None where it does not."""
    return next((media for media, total in zip(asked, accumulate(counts), strict=True) if total > most), None)


async def _of_base64(source: Inline, settings: MediaTable, take: Callable[[int], None]) -> bytes:
    if source.size > settings.max_bytes:
        raise too_large(settings.max_bytes)
    take(source.size)
    if len(source.text) < _SMALL:
        return decoded(source.text)
    return await asyncio.get_running_loop().run_in_executor(_DECODING, partial(decoded, source.text))


def _filled(prompt: P, files: Mapping[Source, bytes], settings: MediaTable) -> P:
    if not isinstance(prompt, ChatPrompt):
        return prompt
    return msgspec.structs.replace(prompt, messages=[_seen(message, files, settings) for message in prompt.messages])


def _seen(message: ChatMessage, files: Mapping[Source, bytes], settings: MediaTable) -> ChatMessage:
    if not message.media:
        return message
    seen = [
        one.seen([files[source] for source in one.sources], max_frames=settings.max_frames, max_pixels=settings.max_pixels)
        for one in asked_of(message.media)
    ]
    return msgspec.structs.replace(message, media=seen)
