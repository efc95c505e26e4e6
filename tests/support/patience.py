"""How long a test waits for what has to come: only a failing test waits so long, and a busy machine is no failure."""

PATIENCE = 240.0  # seconds; less than pytest's own limit for a test, which would not say what was waited for
