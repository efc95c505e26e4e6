"""docs/running.md names files, jobs and settings: they exist."""

import plistlib
import re
from pathlib import Path

import pytest

from mlxd.cli.program import build_parser

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs/running.md").read_text()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?<![\w./])(?:deploy|config)/[\w./-]*\w", TEXT))))
def test_files(path):
    assert (ROOT / path).is_file() or (ROOT / path).is_dir()


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", TEXT))))
def test_links(link):
    assert (ROOT / "docs" / link).exists()


def test_jobs():
    labels = {plistlib.loads(path.read_bytes())["Label"] for path in (ROOT / "deploy/launchd").glob("*.plist")}
    assert {label.removesuffix(".plist") for label in re.findall(r"org\.mlxd\.\w+", TEXT)} == labels


def test_commands(capsys):
    names = set(re.findall(r"(?:`|bin/)mlxd ([a-z][\w-]*)", TEXT))
    assert names >= {"status", "reload", "diff", "pull", "validate", "log-level"}
    for name in names:
        with pytest.raises(SystemExit) as ended:
            build_parser().parse_args([name, "--help"])
        assert ended.value.code == 0, name


def test_paths_of_the_table_are_those_of_the_files():
    for path in ("/usr/local/mlxd", "/usr/local/etc/mlxd/mlxd.toml", "/usr/local/var/mlxd"):
        assert path in (ROOT / "deploy/launchd/org.mlxd.daemon.plist").read_text()
        assert path in TEXT
    for path in ("/opt/mlxd", "/etc/mlxd/mlxd.toml", "/var/cache/mlxd"):
        assert path in (ROOT / "deploy/systemd/mlxd.service").read_text()
        assert path in TEXT
