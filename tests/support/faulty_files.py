"""Files of a cache on disk that fail, hang or die with their process, when a test says so."""

import contextlib
import os
import sqlite3
import threading

from mlxd.disk_cache.files import Files, SystemFiles


class KilledError(BaseException):
    """The process was killed: no code of it runs any more, not even what cleans up."""


class FaultyFiles:
    """Passes every call on. Before it ``before(name, path)`` is called, and may raise: ``None`` for the path of a call without one.

    ``kill`` lets this one and all further calls raise ``KilledError`` and gives back what the system does of a process that is killed.
    ``hang`` makes calls wait until ``go_on``.
    """

    def __init__(self, before=lambda name, path: None):
        self._real = SystemFiles()
        self._open = set()
        self._connections = []
        self._goes_on = threading.Event()
        self._goes_on.set()
        self.before = before
        self.after = lambda: None
        self.dead = False
        self.calls = 0

    def fail(self, error, *names):
        """Calls of these names raise an error from now on; of every name where there are none."""

        def before(name, path):
            if not names or name in names:
                raise error

        self.before = before

    def mend(self):
        self.before = lambda name, path: None

    def kill(self):
        self.dead = True
        for descriptor in self._open:
            os.close(descriptor)
        self._open.clear()
        for connection in self._connections:
            connection.close()

    def hang(self):
        self._goes_on.clear()

    def go_on(self):
        self._goes_on.set()

    def passes(self, name, path=None):
        """What happens before a call."""
        self._goes_on.wait()
        if self.dead:
            raise KilledError
        self.calls += 1
        self.before(name, path)
        if self.dead:
            raise KilledError

    def connect(self, path):
        self.passes("connect", path)
        self._connections.append(connection := self._real.connect(path))
        return FaultyConnection(connection, self)

    def create(self, path):
        self.passes("create", path)
        self._open.add(descriptor := self._real.create(path))
        return descriptor

    def open(self, path):
        self.passes("open", path)
        self._open.add(descriptor := self._real.open(path))
        return descriptor

    def close(self, descriptor):
        self.passes("close")
        self._open.discard(descriptor)
        self._real.close(descriptor)


def _passed_on(name):
    def call(self, target, *rest):
        self.passes(name, target)
        result = getattr(self._real, name)(target, *rest)
        self.after()
        return result

    return call


for _name in set(dir(Files)) - set(dir(FaultyFiles)):
    if not _name.startswith("_"):
        setattr(FaultyFiles, _name, _passed_on(_name))


class FaultyConnection:
    """A connection to SQLite whose statements are calls named by their first word: ``"COMMIT"``. It waits for no disk: no test ends the
    system.
    """

    def __init__(self, connection, files):
        self._connection = connection
        self._files = files

    def execute(self, statement, *rest):
        self._files.passes(statement.split()[0])
        result = self._connection.execute(statement.replace("synchronous = NORMAL", "synchronous = OFF"), *rest)
        self._files.after()
        return result

    def executemany(self, statement, *rest):
        self._files.passes(statement.split()[0])
        return self._connection.executemany(statement, *rest)

    def executescript(self, script):
        self._files.passes("SCRIPT")
        return self._connection.executescript(script)

    def close(self):
        self._connection.close()


def sqlite_error(code):
    """An error as SQLite's, with its code."""
    error = sqlite3.OperationalError("injected")
    error.sqlite_errorcode = code
    return error


def disk_usage(path):
    """What ``du`` says: the bytes that a directory takes, with all that is in it."""
    total = 0
    for root, _, names in os.walk(path):
        for entry in (root, *(os.path.join(root, name) for name in names)):  # noqa: PTH118 - what the system is asked about, thousands of times
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(entry).st_blocks * 512
    return total
