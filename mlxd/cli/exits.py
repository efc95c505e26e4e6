"""How a command ends, by the numbers of ``sysexits.h``."""

OK = 0
FAILED = 1
USAGE = 64
UNAVAILABLE = 69  # no daemon answers, or an address is taken
SOFTWARE = 70  # a bug
CONFIG = 78
INTERRUPTED = 130  # by Ctrl-C, as shells count


class UsageError(Exception):
    """The arguments do not go together."""
