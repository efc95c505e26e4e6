"""What a nursery is asked for, and how: see ``forked``."""

import json
import os
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path

MOST = 2**20  # bytes of a wish
STREAMS = 3


@dataclass(frozen=True)
class Wish:
    """``command`` is a module, or a file that ends in ``.py``, and its arguments. Who ``leads`` has a session of its own; who has a
    ``nursery`` has its workers forked by one.
    """

    command: list[str]
    env: dict[str, str]
    leads: bool = False
    nursery: bool = False
    cwd: str = field(default_factory=lambda: str(Path.cwd()))


def wish_for(nursery, wish, streams, passed=()):
    """Has ``wish`` fulfilled; returns a pipe on which comes the process's id, a line, and when it ends how it did. ``passed`` are more
    descriptors for it: their numbers there are its last arguments.
    """
    told, tells = os.pipe()
    try:
        socket.send_fds(nursery, [json.dumps(asdict(wish)).encode(errors="surrogateescape")], [tells, *streams, *passed])
    except BaseException:
        os.close(told)
        raise
    finally:
        os.close(tells)
    return told
