"""The daemon's end of a worker: the protocol, and its implementations."""
