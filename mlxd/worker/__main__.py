"""``python -m mlxd.worker FD``: a worker process on one end of a socketpair."""

import faulthandler
import os
import signal
import socket
import sys
import traceback

from mlxd.scratch import remove_scratch
from mlxd.worker.main import run_worker


def main() -> None:
    """Runs the worker. End of file on the socket means the daemon is gone: the process ends at once, also in the middle of a step."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C goes to the whole group; the daemon decides
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that PyTorch is missing is as it should be
    try:
        code = run_worker(socket.socket(fileno=int(sys.argv[1])))
    except Exception:  # noqa: BLE001 - an engine thread may be alive: end as in every other case, but say why
        traceback.print_exc()
        code = os.EX_SOFTWARE
    sys.stderr.flush()
    remove_scratch(os.getpid())
    os._exit(code)  # the engine thread may be deep in a step, and nobody is waiting for it


if __name__ == "__main__":
    main()
