"""What is done to a daemon again and again, while a test looks at something else."""

import os
import signal
import threading
import time


class Trouble:
    """``with Trouble(act, …)``: each is done again and again, in a thread, until its end; ``pause`` in seconds."""

    def __init__(self, *acts, pause):
        self._over = threading.Event()
        self._pause = pause
        self._threads = [threading.Thread(target=self._repeat, args=(act,)) for act in acts]

    def _repeat(self, act):
        while not self._over.wait(self._pause):
            act()

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()


def held_back(daemon):
    """Lets the worker of ``tiny`` compute for a sixth of the time: it is to have much to do, not to take the machine."""
    pid = daemon.model()["pid"]

    def hold():
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(0.25)
        finally:
            os.kill(pid, signal.SIGCONT)

    return Trouble(hold, pause=0.05)
