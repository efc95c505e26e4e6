"""How threads of MLX take turns where there are as many of them as cores."""

import os
from contextlib import contextmanager


@contextmanager
def batch_scheduling():
    """This thread, and those that it starts meanwhile, take no core from each other when they are woken (Linux).

    MLX has a thread for its operations on the CPU, and wakes it for each: of a tiny model they take less time than the two changes of
    threads, of which there are a tenth where it waits until its core is free, or the other thread waits for what it computes.
    """
    if not hasattr(os, "SCHED_BATCH"):
        yield
        return
    before = os.sched_getscheduler(0)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(0, before, os.sched_param(0))
