"""An engine driven by hand over any runner, and what everybody was told."""

from collections import defaultdict

from mlxd.types import SamplingParams
from mlxd.wire.events import Failed
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.engine import Engine
from mlxd.worker.engine.events import Ended
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.engine.request_queue import RequestQueue
from mlxd.worker.engine.sampled import Sampled

_MANY = 500  # steps: more than any scenario takes


class EngineStage:
    def __init__(self, runner):
        self.runner = runner
        self.queue = RequestQueue(100, capacity=runner.capacity)
        self.events = defaultdict(list)
        self.engine = Engine(runner, self.queue, self._tell)

    def _tell(self, output):
        for event in output.events:
            self.events[event.id].append(event)
            if isinstance(event, Sampled | Ended):
                assert event.id in output.timings

    def add(self, name, prompt, *, max_tokens=4, asks=None, **sampling):
        """Greedy, unless ``sampling`` says otherwise. ``asks`` are more fields of the request."""
        params = SamplingParams(**({"temperature": 0.0} | sampling))
        self.queue.announce(name)
        self.queue.put(EngineRequest(name, EncodedPrompt(list(prompt), max_tokens, CacheRoot(model="tiny")), params, **(asks or {})))

    def run(self):
        for _ in range(_MANY):
            self.engine.step()
            if self.runner.is_idle and not self.queue.waiting:
                return
        raise AssertionError("it never ends")

    def answers(self, name):
        """The last words on a request: there must be one."""
        return [event for event in self.events[name] if isinstance(event, Ended | Failed)]

    def tokens(self, name):
        return [token.id for event in self.events[name] if isinstance(event, Sampled) for token in event.tokens]

    def check_all_is_over(self):
        assert self.runner.is_idle
        assert not self.engine._clocks
        assert not self.engine._arrived
        assert (self.queue.running, self.queue.waiting) == (0, 0)
