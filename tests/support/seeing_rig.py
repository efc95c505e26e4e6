"""The runner that a tiny vision model gets, driven by hand with the conversations of its references."""

from mlxd.types import SamplingParams
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.runtime.choose import choose_runner
from tests.support.seen_prompts import loaded_model, seen_prompt
from tests.support.vision_references import references
from tests.support.wire_requests import resolved
from tests.worker.runner_rig import RunnerRig
from tests.worker.worker_link import load_message

TOKENS = 5  # of each answer
LIMITS = {"mode": "continuous", "cache_kind": "paged", "block_size": 8, "step_tokens": 40, "max_sequences": 8}


class SeeingRig(RunnerRig):
    """``loaded`` is another model than the one in the directory, of the same architecture; ``orders`` are other fields of an order."""

    def __init__(self, architecture, loaded=None, **orders):
        self.architecture = architecture
        order = load_message("org/tiny", **(LIMITS | orders))
        self.loaded = loaded or loaded_model(architecture)
        self.choice = choose_runner(order, resolved(order.limits), self.loaded)
        assert self.choice.name == "paged", self.choice.reason
        super().__init__(self.choice.runner)

    def see(self, case, name=None, tokens=TOKENS, **sampling):
        prompt = seen_prompt(self.architecture, case, tokens)
        self.runner.add(EngineRequest(name or case, prompt, SamplingParams(**({"temperature": 0.0} | sampling))))

    def is_right(self, name, case, tokens=TOKENS):
        """Whether it said what the reference says, up to a token that ends it."""
        greedy = references(self.architecture)[case].greedy[:tokens]
        ends = [at for at, token in enumerate(greedy) if token in self.loaded.end_tokens]
        expected = greedy[: ends[0]] if ends else greedy
        return [token for token in self.tokens.get(name, []) if token not in self.loaded.end_tokens] == expected

    @property
    def media(self):
        return self.runner.cache().media
