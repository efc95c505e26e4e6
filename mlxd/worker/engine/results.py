"""What computed steps mean for their sequences: tokens, ends, and blocks that others may find."""

from collections.abc import Collection

from mlxd.types import FinishReason
from mlxd.worker.engine.events import PromptScored
from mlxd.worker.engine.executor import StepResult
from mlxd.worker.engine.plan import Chunk
from mlxd.worker.engine.runner import StepReport
from mlxd.worker.engine.sampled import Sampled, SampledToken
from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.engine.sequences import Sequences
from mlxd.worker.kv.manager import Manager


class Results:
    """What becomes of the results of steps. An end is in a report before its sequence is forgotten, so that it is told whatever goes wrong
    after it.
    """

    def __init__(self, sequences: Sequences, manager: Manager, end_tokens: Collection[int]) -> None:
        self._sequences = sequences
        self._manager = manager
        self._end_tokens = end_tokens

    def take(self, result: StepResult, report: StepReport) -> None:
        """Takes in what a step computed."""
        known = self._sequences.known
        for name in result.failed.keys() & known.keys():
            report.fail([name], result.failed[name])
            self._sequences.forget(name)
        for chunk in result.plan.chunks:
            sequence = known.get(chunk.sequence)
            if sequence is None:  # ended or aborted while the step ran
                continue
            sequence.drafted = chunk.drafts if chunk.samples else sequence.drafted
            if sequence.id in self._sequences.running:
                self._manager.commit(sequence.id, sequence.tokens, min(chunk.start + chunk.count, sequence.verified))
            self._take_scores(sequence, chunk, result, report)
            if not sequence.request.max_tokens and chunk.start + chunk.count == sequence.length - 1:
                self.end_prompt(sequence, report)
        for name in [name for name in result.sampled if name in known]:
            self._take_tokens(known[name], result.sampled[name], report)

    def end_prompt(self, sequence: Sequence, report: StepReport) -> None:
        """Ends a sequence behind whose prompt nothing is wanted."""
        self._tell_scores(sequence, report)
        self.end(sequence, FinishReason.LENGTH, report)

    def end(self, sequence: Sequence, reason: FinishReason, report: StepReport) -> None:
        """Ends a sequence, which is forgotten."""
        report.ended[sequence.id] = reason
        self._sequences.forget(sequence.id)

    def _take_scores(self, sequence: Sequence, chunk: Chunk, result: StepResult, report: StepReport) -> None:
        """Takes in what a chunk says of the prompt's tokens, and tells it once it is known of them all."""
        if chunk.targets:
            before = sum(len(one.targets) for one in result.plan.chunks if one.sequence == sequence.id and one.start < chunk.start)
            sequence.take_scores(chunk.start, result.scored[sequence.id][before : before + len(chunk.targets)])
        self._tell_scores(sequence, report)

    def _tell_scores(self, sequence: Sequence, report: StepReport) -> None:
        if sequence.request.prompt_logprobs and not sequence.lacks_scores and not sequence.is_scored:
            sequence.is_scored = True
            report.scored.append(PromptScored(sequence.id, tuple(sequence.scores)))

    def _take_tokens(self, sequence: Sequence, tokens: tuple[SampledToken, ...], report: StepReport) -> None:
        """Takes in what was sampled. What is behind an end token, or beyond ``max_tokens``, is nobody's."""
        sequence.in_flight -= 1
        room = sequence.request.max_tokens - (len(sequence.tokens) - len(sequence.request.tokens))
        ends = sequence.request.ends(self._end_tokens)
        end = next((at for at, token in enumerate(tokens[:room], start=1) if token.id in ends), None)
        taken = tokens[: room if end is None else end]
        sequence.tokens += [token.id for token in taken]
        self._keep_verified(sequence)
        drafted, sequence.drafted = sequence.drafted, 0
        accepted = min(len(tokens) - 1, len(taken)) if drafted else 0
        rejected = 0 if accepted == len(taken) else drafted - accepted  # what is behind an end that was guessed is neither
        report.sampled.append(Sampled(sequence.id, taken, end is not None, accepted, rejected))
        if end is not None or len(taken) == room:
            self.end(sequence, FinishReason.LENGTH if end is None else FinishReason.STOP, report)

    def _keep_verified(self, sequence: Sequence) -> None:
        """Commits those of the computed tokens that are the sequence's now, and rewinds it where others were computed: guesses that were
        wrong. With nothing in flight its newest token is not computed yet, even if a wrong guess was in its place.
        """
        if sequence.id not in self._sequences.running:
            return
        right = sequence.verified if sequence.in_flight else sequence.verified - 1
        self._manager.commit(sequence.id, sequence.tokens, min(sequence.computed, right))
        if sequence.computed > right:
            rewound = self._manager.rewind(sequence.id, right)
            sequence.computed, sequence.resume = rewound.computed, rewound.resume
