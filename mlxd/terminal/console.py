"""The two streams of a command, as rich consoles that change nothing of what they are given."""

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader is satisfied: ``mlxd.cli`` knows what that means."""
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError


def output() -> Console:
    """Standard output: results."""
    return _Console(highlight=False, markup=False, emoji=False)


def errors() -> Console:
    """Standard error: progress, and what went wrong."""
    return _Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
