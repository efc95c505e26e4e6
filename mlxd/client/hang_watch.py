"""When a worker counts as hung. Pure: frames and passed seconds in, a verdict out; no clock."""

from mlxd.wire.messages import CacheEvicted, Events, FromWorker, Heartbeat, Progress, Ready, Reconfigured

# While it loads, a worker may hold its interpreter for seconds (importing MLX, reading tensors), whatever hang_timeout says.
LOADING_SILENCE = 60.0  # seconds

# A step that was planned to take long may take longer: other processes want the machine too. But no plan is believed without end.
_SLACK = 3.0
_MOST = 10.0  # times hang_timeout


def longest_step(hang_timeout: float, planned: float) -> float:
    """Returns how many seconds a step may last that was planned to take ``planned``, before its worker counts as hung."""
    return hang_timeout + min(_SLACK * planned, _MOST * hang_timeout)


class HangWatch:
    """A watch over one worker, which is told every frame by ``observe`` and every passed second by ``tick``.

    Only seconds told to ``tick`` count: a machine that slept, or a daemon that was stopped, did not tick,
    so neither looks like a hung worker. Five things are a hang:

    - silence: no frame at all for ``hang_timeout``;
    - inside one engine step for longer than that, once the model is ready, and for much longer than the step was planned to take;
    - a load that makes no progress for ``load_timeout``;
    - not reading its socket for ``hang_timeout`` while we have something to say;
    - not answering a question (``Reconfigure``, ``EvictCache``) for as long: who asked would wait for ever.
    """

    def __init__(self, *, hang_timeout: float, load_timeout: float) -> None:
        self.hang_timeout = hang_timeout  # seconds; both may be changed at any time
        self.load_timeout = load_timeout
        self._ready = False
        self._progress: Progress | None = None
        self._steps = -1  # of the last heartbeat
        self._busy = 0.0  # what the last heartbeat said of its current step
        self._planned = 0.0  # and of how long that would take
        self._taken = 0
        # Seconds since the last ...
        self._silent = 0.0  # frame
        self._in_step = 0.0  # sign that a step ended, or that none runs
        self._stalled = 0.0  # progress of the load
        self._unread = 0.0  # byte read by the worker, while there were any to read
        self._unanswered = 0.0  # answer, while there were questions

    def observe(self, message: FromWorker) -> None:
        """Takes in that a frame arrived."""
        self._silent = 0.0
        match message:
            case Heartbeat():
                if message.steps != self._steps or message.busy_seconds == 0:
                    self._in_step = 0.0
                self._steps = message.steps
                self._busy = message.busy_seconds
                self._planned = message.planned_seconds
            case Events(step=step) if step is not None:
                self._in_step = 0.0
            case Progress() if message != self._progress:
                self._progress = message
                self._stalled = 0.0
            case Ready():
                self._ready = True
                self._in_step = 0.0
            case Reconfigured() | CacheEvicted():
                self._unanswered = 0.0

    def wait_for_permit(self) -> None:
        """Takes in that the load stands still because the daemon has not let it go on: that is no stall."""
        self._stalled = 0.0

    def tick(self, seconds: float, *, unread: int, taken: int, questions: int = 0) -> str | None:
        """Takes in that ``seconds`` passed; the worker has ``taken`` bytes, ``unread`` are due, and so are the answers to so many
        ``questions``. Returns what hangs, or None.
        """
        self._silent += seconds
        self._in_step += seconds
        self._stalled += seconds
        self._unread = self._unread + seconds if unread and taken == self._taken else 0.0
        self._taken = taken
        self._unanswered = self._unanswered + seconds if questions else 0.0
        return self._verdict()

    def _verdict(self) -> str | None:
        silence = self.hang_timeout if self._ready else max(self.hang_timeout, LOADING_SILENCE)
        if self._silent > silence:
            return f"silent for {silence:g} s"
        if self._unread > silence:
            return f"did not read its socket for {silence:g} s"
        if self._unanswered > silence:
            return f"did not answer for {silence:g} s"
        if not self._ready and self._stalled > self.load_timeout:
            stage = self._progress.stage if self._progress else "starting"
            return f"no progress for {self.load_timeout:g} s while {stage}"
        # Both clocks must agree: the worker's own also runs while the machine's processes are stopped.
        if self._ready and min(self._busy, self._in_step) > longest_step(self.hang_timeout, self._planned):
            planned = f", which was planned to take {self._planned:.3g} s" if self._planned else ""
            return f"inside one step for {self._busy:.3g} s{planned}"
        return None
