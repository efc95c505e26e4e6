"""How many examples a property is tried with: few in each run, and others in each; ``MLXD_EXAMPLES=20`` tries twenty times as many."""

import os

FACTOR = float(os.environ.get("MLXD_EXAMPLES", "1"))


def examples(count):
    return max(1, round(count * FACTOR))
