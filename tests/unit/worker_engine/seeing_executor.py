"""A simulated device that encodes pictures, and knows which of them each chunk must have."""

from dataclasses import dataclass, field, replace

import msgspec

from mlxd.worker.engine.executor import Encoded, StepResult
from mlxd.worker.engine.plan import StepPlan
from tests.unit.worker_engine.windowed_executor import WindowedExecutor

EMBEDDING_BYTES = 3


@dataclass
class Sight:
    """Encoding takes ``each`` seconds for an embedding, in blocks of ``block`` seconds that are not interrupted; ``broken`` cannot be
    encoded.
    """

    each: float = 0.01
    block: float = 0.05
    broken: set = field(default_factory=set)


class SeeingExecutor(WindowedExecutor):
    """Embeddings are there from the end of the step on that completes them, until the plan says otherwise. Anything else that a plan asks
    for is an error: what is told twice, or encoded though it is there, or needed and not there.
    """

    def __init__(self, *args, sight, **options):
        super().__init__(*args, **options)
        self.sight = sight
        self.held = {}  # content -> bytes
        self.left = {}  # of what is under way: seconds
        self.told = {}  # the same, as it was told
        self.spans = {}  # of open sequences: those that have to be encoded
        self.encoded = []  # contents, in order
        self.seconds = []  # of encoding, step by step

    def open(self, request):
        super().open(request)
        contents = {one.content for one in request.prompt.inputs}
        self.spans[request.id] = [span for span in request.prompt.media if span.content in contents]

    def close(self, sequence):
        super().close(sequence)
        self.spans.pop(sequence, None)

    def reset(self):
        super().reset()
        self.held, self.left, self.told = {}, {}, {}

    def run(self, plan):
        for content in plan.unseen:
            self._let_go(content)
        before = set(self.held)
        encoded = self._encode(plan.encodes)
        for chunk in plan.chunks:
            self._look(chunk, before)
        result = super().run(plan)
        return result if encoded is None else replace(result or StepResult(StepPlan(), {}, {}), encoded=encoded)

    def trim(self, plan):
        assert not plan.encodes
        for content in plan.unseen:
            self._let_go(content)
        super().trim(plan)

    def memory(self):
        return msgspec.structs.replace(super().memory(), media=sum(self.held.values()))

    def _let_go(self, content):
        assert content in self.held or content in self.left, "what is not there is let go"
        self.held.pop(content, None)
        self.left.pop(content, None)

    def _encode(self, encodes):
        if not encodes:
            return None
        done, failed, used, until = {}, {}, 0.0, 0.0
        for encode in encodes:
            content = encode.content
            assert content not in self.held, "what is there is encoded again"
            assert (content in self.left) == (encode.input is None), "a picture is told once"
            if encode.input is not None:
                assert encode.input.content == content
                self.left[content] = self.sight.each * encode.input.count
                self.told[content] = encode.input
            until += encode.seconds
            while content in self.left and (used < until or not used):
                used += self.sight.block
                self.left[content] -= self.sight.block
                if content in self.sight.broken:
                    failed[content] = ValueError("it cannot be encoded")
                    del self.left[content]
                elif self.left[content] <= 0:
                    done[content] = self.held[content] = EMBEDDING_BYTES * self.told[content].count
                    self.encoded.append(content)
                    del self.left[content]
        self.seconds.append(used)
        return Encoded(done, failed, used)

    def _look(self, chunk, held):
        stop = chunk.start + chunk.count
        spans = self.spans[chunk.sequence]
        for span in spans:
            if span.start < stop and chunk.start < span.stop:
                assert span.content in held, f"{chunk.sequence}: what it shows at {span.start} is not encoded"
            assert not span.mutual or not span.start < stop < span.stop, f"{chunk.sequence}: a picture is cut at {stop}"
        assert [span for span in chunk.media if span in spans] == [span for span in spans if span.start < stop]
