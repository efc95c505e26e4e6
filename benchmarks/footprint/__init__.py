"""Whether the footprint of the daemon and of its workers stays where it is, over tens of thousands of requests, aborts and reloads."""
