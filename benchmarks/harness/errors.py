"""What ends a benchmark early, with a message for people."""


class BenchmarkError(Exception):
    """A server did not start, or did not do what was asked of it: there is nothing to compare."""
