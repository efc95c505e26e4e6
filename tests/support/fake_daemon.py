"""mlxd with workers that have no MLX; all else is real. ``python -m tests.support.fake_daemon --config FILE``.

A model whose source is a directory with a script says what that has it say (see ``scripted``); "fake/embeds" and "fake/reranks" encode
(see ``encoding_worker``); any other one has a ``fake_worker``.

The machine's memory pressure is what the file ``pressure`` beside FILE says (0, 1 or 2); without one it is normal. What is done about it
is done twenty times as fast. With ``MLXD_TEST_PRESSURE=real`` the pressure is the machine's own.
"""

import os
import sys
from pathlib import Path

from mlxd import cli, daemon
from mlxd.client.process import ProcessWorker
from mlxd.control.memory import governor, relief
from mlxd.control.memory.pressure import PressureLevel
from mlxd.observability.logging import log_worker_record
from tests.support import encoding_worker, fake_worker
from tests.support.scripted import worker
from tests.support.scripted.script import FILE


def command(source):
    if source in encoding_worker.SOURCES:
        return encoding_worker.COMMAND
    return worker.COMMAND if (Path(source) / FILE).is_file() else fake_worker.COMMAND


def make_worker(name, model):
    watch = model.worker
    return ProcessWorker(
        name,
        model.source,
        hang_timeout=watch.hang_timeout,
        load_timeout=watch.load_timeout,
        log=log_worker_record,
        command=command(model.source),
    )


HASTE = 20


def pressure_reader():
    file = Path(sys.argv[sys.argv.index("--config") + 1]).with_name("pressure")
    return lambda: PressureLevel(int(file.read_text() or 0)) if file.exists() else PressureLevel.NORMAL


if __name__ == "__main__":
    daemon._make_worker = make_worker
    if os.environ.get("MLXD_TEST_PRESSURE") != "real":
        daemon.pressure_reader = pressure_reader
    governor.PACE = {level: seconds / HASTE for level, seconds in governor.PACE.items()}
    governor.CALM, governor.EASE, relief.INTERVAL = governor.CALM / HASTE, governor.EASE / HASTE, relief.INTERVAL / HASTE
    sys.exit(cli.main())
