"""The pictures and films of requests, made ready in threads of their own: a large one holds up nobody's text."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from weakref import WeakValueDictionary

import msgspec

from mlxd.errors import UnsupportedParameterError
from mlxd.media_terms import Media
from mlxd.wire.prompts import ChatPrompt, Prompt
from mlxd.worker.text.media_processor import KEPT, MediaProcessor, SeenMedia
from mlxd.worker.text.seen import Seen, distinct

_THREADS = 2


class MediaPool:
    """A pool of one model; ``processor`` None means that it sees nothing. It belongs to the I/O thread."""

    def __init__(self, processor: MediaProcessor | None) -> None:
        self._processor = processor
        self._threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="media")
        self._kept: OrderedDict[bytes, SeenMedia] = OrderedDict()
        self._bytes = 0
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def see(self, prompt: Prompt, salt: str = "") -> Seen:
        """Returns what a prompt shows, made ready; what was before is found by those of the same ``salt``. Raises ``InvalidRequestError``,
        with its ``param``, for what cannot be seen.
        """
        media = distinct(_media(prompt))
        if not media:
            return Seen()
        if self._processor is None:
            raise UnsupportedParameterError("this model sees no pictures and no films", param=media[0].param)
        seen = await asyncio.gather(*(self._one(self._processor, one, salt) for one in media))
        return Seen(zip(media, seen, strict=True))

    def close(self) -> None:
        """Forgets what was to be made ready, and waits for nothing."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _one(self, processor: MediaProcessor, media: Media, salt: str) -> SeenMedia:
        run = asyncio.get_running_loop().run_in_executor
        key = await run(self._threads, _digest, media, salt)
        async with self._turns.setdefault(key, asyncio.Lock()):  # several answers to one prompt come at once
            if (known := self._kept.pop(key, None)) is not None:
                self._kept[key] = known  # the newest
                return known
            seen = await run(self._threads, processor.process, media)
            self._keep(key, seen)
            return seen

    def _keep(self, key: bytes, seen: SeenMedia) -> None:
        self._kept[key] = seen
        self._bytes += _size(seen)
        while self._bytes > KEPT:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)


def _media(prompt: Prompt) -> Iterator[Media]:
    if isinstance(prompt, ChatPrompt):
        yield from (one for message in prompt.messages for one in message.media)


def _digest(media: Media, salt: str) -> bytes:
    """Names a picture or film by all that its processing depends on, and by who may learn that it was shown."""
    digest = blake2b(digest_size=32)
    asked = msgspec.structs.replace(media, files=[], at=0, param="")
    digest.update(msgspec.msgpack.encode((salt, asked, [len(file) for file in media.files])))
    for file in media.files:
        digest.update(file)
    return digest.digest()


def _size(seen: SeenMedia) -> int:
    return sum(len(tensor.data) for tensor in seen.input.tensors.values())
