"""Log rotation as it is configured: by renaming, with nobody signalled."""

import re
import subprocess
import sys
from pathlib import Path

DEPLOY = Path(__file__).parents[3] / "deploy"

WRITER = """
import sys
from mlxd.config.schema import LogTable
from mlxd.observability.logging import configure_logging
import structlog
configure_logging(LogTable(file=sys.argv[1]))
for line in sys.stdin:
    structlog.get_logger().info(line.strip())
    print("written", flush=True)
"""


def test_a_renamed_log_is_noticed_at_the_next_line(tmp_path):
    log, rotated = tmp_path / "mlxd.log", tmp_path / "mlxd.log.0"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:

        def write(text):
            print(text, file=writer.stdin, flush=True)
            writer.stdout.readline()

        write("one")
        log.rename(rotated)
        write("two")  # it makes a new file
        log.rename(tmp_path / "mlxd.log.1")
        log.touch(0o600)
        write("three")  # as newsyslog and logrotate do: they have made it already
        writer.stdin.close()
    assert "one" in rotated.read_text()
    assert "two" in (tmp_path / "mlxd.log.1").read_text()
    assert "three" in log.read_text()


def test_newsyslog_s_line_has_its_fields():
    [line] = [line for line in (DEPLOY / "newsyslog/mlxd.conf").read_text().splitlines() if not line.startswith("#")]
    path, owner, mode, count, size, when, flags = line.split()
    assert path.startswith("/")
    assert re.fullmatch(r"\w+:\w+", owner)
    assert int(mode, 8) == 0o600
    assert count.isdecimal()
    assert size.isdecimal()
    assert when == "*"
    assert set(flags) <= set("BCDGJNRUWXZ")
    assert "N" in flags  # no pid file: without N newsyslog would signal syslogd


def test_logrotate_signals_nobody():
    text = (DEPLOY / "logrotate/mlxd").read_text()
    assert text.count("{") == text.count("}") == 1
    assert "postrotate" not in text
    assert "copytruncate" not in text  # it loses lines
