"""Completion scripts: they name every command, they complete files, and a shell takes them."""

import shutil
import subprocess

import pytest

from mlxd.cli import main

COMMANDS = ("serve", "diff", "log-level", "completion")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
async def test_every_command_is_in_it(run, shell):
    ran = await run("completion", shell)
    assert (ran.code, ran.err) == (0, "")
    assert all(command in ran.out for command in COMMANDS)


def complete(script, *words):
    """What bash offers for the last word."""
    line = " ".join(words)
    asked = f"""
        source {script}
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}; COMP_LINE='{line}'; COMP_POINT={len(line)}
        $(complete -p mlxd | sed 's/.*-F \\([^ ]*\\) .*/\\1/') mlxd
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    ran = subprocess.run(["bash", "-c", asked], cwd=script.parent, capture_output=True, text=True, check=False)  # noqa: S607
    return ran.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("mlxd", "relo"), ["reload"]),
        (("mlxd", "reload", "--dr"), ["--dry-run"]),
        (("mlxd", "log-level", "de"), ["debug"]),
        (("mlxd", "status", "--config", "my"), ["my.toml"]),
        (("mlxd", "diff", "my"), ["my.toml"]),
        (("mlxd", "--config", "my"), ["my.toml"]),
    ],
    ids=str,
)
def test_bash_completes(tmp_path, capsys, words, offered):
    (tmp_path / "my.toml").touch()
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out)
    assert complete(script, *words) == offered
