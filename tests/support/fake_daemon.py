"""mlxd with workers that have no MLX (see ``fake_worker``); all else is real. ``python -m tests.support.fake_daemon --config FILE``."""

import sys

from mlxd import cli, daemon
from mlxd.client.process import ProcessWorker
from mlxd.observability.logging import log_worker_record
from tests.support import fake_worker


def make_worker(name, model):
    watch = model.worker
    return ProcessWorker(
        name, hang_timeout=watch.hang_timeout, load_timeout=watch.load_timeout, log=log_worker_record, command=fake_worker.COMMAND
    )


if __name__ == "__main__":
    daemon._make_worker = make_worker
    sys.exit(cli.main())
