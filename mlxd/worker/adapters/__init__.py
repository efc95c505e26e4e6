"""Adapters on a worker's I/O thread: what their names mean now, and threads that fetch and read them."""
