"""Where a sequence's recurrent state is copied while its prompt is computed: a later one can begin only where there is a copy.

The next turn of a conversation begins where this prompt ends, or somewhat before, for what a template opens an answer with may stand
otherwise in the history; other users go on otherwise behind a system prompt. (SGLang takes copies where prompts part, too.)
"""

from collections.abc import Collection

from mlxd.worker.engine.sequence import Sequence
from mlxd.worker.kv.state_snapshots import Taken

_APART = 128  # tokens between two copies that are taken for want of a better place


def prompt_ends(sequence: Sequence, size: int) -> tuple[int, int]:
    """Returns behind how many tokens, whole blocks of ``size``, the conversation's next turn begins, or the last block but one where nobody
    knows, and where the last block ends before the last token.
    """
    end = (sequence.length - 1) // size * size
    return sequence.request.prompt.lasting // size * size or end - size, end


def state_marks(sequence: Sequence, stop: int, size: int, awaited: Collection[bytes]) -> dict[int, Taken]:
    """Returns the numbers of tokens, up to ``stop``, after which the state is to be copied; each is where a block of ``size`` tokens ends.

    These are the last one before its last token, which is computed always; where the conversation's next turn begins, or the last but one
    where nobody knows; the end of what the cache had of it; and the ends of ``awaited`` blocks.
    """
    if sequence.decodes:
        return {stop: Taken.ANSWER}
    turn, end = prompt_ends(sequence, size)
    coming = enumerate(sequence.chain.digests[sequence.computed // size : stop // size], start=sequence.computed // size + 1)
    awaited_ends = [index * size for index, digest in coming if digest in awaited]
    marks = {at: Taken.PROMPT for at in (turn, end, sequence.known, *awaited_ends) if sequence.computed < at <= stop}
    passing = stop // size * size
    if passing - max(sequence.copied, *marks, 0) >= _APART:
        marks[passing] = Taken.PASSING
    return marks
