"""The command line. ``mlxd --config mlxd.toml`` serves; every other verb is short-lived.

::

    program  ─▶  one module per family of commands  ─▶  mlxd.terminal: what people see, and the client of the admin API
                 files, models, state, configuration, doctor, completion

Each command imports what it needs when it runs, so that all start quickly.
"""

from mlxd.cli.program import main

__all__ = ["main"]
