"""How far a load is: in words, in the log, and as an estimate of the time left."""

import time

import structlog

from mlxd.wire.messages import Progress

_UNKNOWN = 5.0  # seconds: what is said of a stage that cannot tell
_LONGEST = 300.0
_LOG_STEP = 10  # percent

_log = structlog.get_logger(__name__)


class LoadProgress:
    """The progress of one load of one model. It logs each stage, and each 10 % of a stage that can tell."""

    def __init__(self, model: str) -> None:
        self.last: Progress | None = None
        self._model = model
        self._stage_began = time.monotonic()
        self._done_then = 0  # a resumed download does not begin at 0
        self._logged = 0

    def update(self, progress: Progress) -> None:
        """Takes in news from the worker."""
        if self.last is None or self.last.stage != progress.stage:
            self._stage_began = time.monotonic()
            self._done_then = progress.done
            self._logged = 0
            _log.info("model_load_stage", model=self._model, stage=progress.stage)
        self.last = progress
        percent = _percent(progress)
        if percent is not None and percent >= self._logged + _LOG_STEP:
            self._logged = percent - percent % _LOG_STEP
            _log.info("model_load_progress", model=self._model, stage=progress.stage, percent=percent)

    def describe(self) -> str:
        """Describes the load in words: ``loading``, ``fetching (40 %)``."""
        if self.last is None:
            return "loading"
        percent = _percent(self.last)
        return self.last.stage if percent is None else f"{self.last.stage} ({percent} %)"

    def seconds_left(self) -> float:
        """Returns the seconds left of the present stage at its present rate; a few where nothing is known."""
        if self.last is None or not self.last.total or self.last.done <= self._done_then:
            return _UNKNOWN
        spent = time.monotonic() - self._stage_began
        left = spent * (self.last.total - self.last.done) / (self.last.done - self._done_then)
        return min(max(left, 1.0), _LONGEST)


def _percent(progress: Progress) -> int | None:
    return 100 * progress.done // progress.total if progress.total else None
