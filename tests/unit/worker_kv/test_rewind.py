"""What a sequence has computed and must forget; ``test_manager`` does it in every order."""

from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.lookup import Rewound
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.state_snapshots import StateSnapshots

BLOCK = 4


def manager(snapshots=None):
    return Manager(block_size=BLOCK, arena_blocks=8, capacity=32, growth_blocks=1, snapshots=snapshots)


def chain_of(tokens):
    return BlockChain.of(EncodedPrompt(tokens, 1, CacheRoot(model="model")), BLOCK)


def look(made, tokens):
    return made.lookup(chain_of(tokens), tokens)


def begin(made, name, prompt):
    chain = chain_of(prompt)
    made.open(name, chain, made.lookup(chain, prompt))
    return chain


def blocks_of(made, name):
    return [block for run in made.runs(name) for block in run]


def test_guesses_are_never_found_and_rejected_ones_leave_no_blocks_behind():
    made, tokens = manager(), list(range(10))
    begin(made, "a", tokens)
    made.reserve("a", 18)
    made.commit("a", tokens, 10)  # 8 guesses are computed too
    assert look(made, [*tokens, *range(50, 58), 1]).cached_tokens == 8
    assert made.rewind("a", 11) == Rewound(11)
    assert len(blocks_of(made, "a")) == 3
    tokens += [50, 60]
    made.commit("a", tokens, 12)
    assert look(made, [*tokens, 1]).cached_tokens == 12
    made.check_integrity()


def test_blocks_taken_ahead_stay_until_somebody_else_needs_them():
    made, tokens = Manager(block_size=BLOCK, arena_blocks=8, capacity=8), list(range(10))
    begin(made, "a", tokens)
    made.reserve("a", 18)
    made.commit("a", tokens, 10)
    made.rewind("a", 11)
    assert len(blocks_of(made, "a")) == 5
    begin(made, "b", [9] * 20)
    assert made.reserve("b", 20)
    assert len(blocks_of(made, "a")) == 3
    made.check_integrity()


def test_what_others_may_find_is_not_written_again():
    made, tokens = manager(), list(range(12))
    begin(made, "a", tokens)
    made.reserve("a", 12)
    made.commit("a", tokens, 12)
    before = blocks_of(made, "a")
    assert made.rewind("a", 10) == Rewound(8)
    made.reserve("a", 12)
    assert before[2] not in blocks_of(made, "a")
    other = [*tokens[:8], 70, 71, 72, 73]
    made.commit("a", other, 12)
    assert look(made, [*tokens, 1]).cached_tokens == 12  # still there
    assert look(made, [*other, 1]).cached_tokens == 12
    made.check_integrity()


def test_a_shared_block_is_given_up_and_its_other_holder_keeps_it():
    made, tokens = manager(), list(range(9))
    begin(made, "a", tokens)
    made.reserve("a", 9)
    made.commit("a", tokens, 9)
    begin(made, "b", tokens)
    made.reserve("b", 9)
    made.rewind("b", 3)
    assert blocks_of(made, "b") == []
    assert made.pool.references(blocks_of(made, "a")[0]) == 1
    made.check_integrity()


def test_whoever_waits_for_a_block_waits_on_until_it_is_computed_again():
    made, tokens = manager(), list(range(12))
    begin(made, "a", tokens)
    made.reserve("a", 12)
    made.commit("a", tokens, 4)
    awaited = look(made, [*tokens, 1]).computing
    made.rewind("a", 6)
    assert made.is_computing(awaited)
    made.reserve("a", 12)
    made.commit("a", tokens, 12)
    assert not made.is_computing(awaited)
    assert look(made, [*tokens, 1]).cached_tokens == 12


def test_recurrent_state_goes_back_to_a_snapshot():
    snapshots = StateSnapshots(8)
    made, tokens = manager(snapshots), list(range(14))
    begin(made, "a", tokens)
    made.reserve("a", 14)
    first = made.plan_snapshot("a", 8)
    made.commit("a", tokens, 8)
    guessed = made.plan_snapshot("a", 12)  # not committed yet
    assert made.rewind("a", 11) == Rewound(8, first)
    assert snapshots.take_dropped() == (guessed,)
    assert made.rewind("a", 3) == Rewound(0)
    made.check_integrity()


def test_a_block_that_is_cut_through_is_found_by_what_it_holds_then():
    made = manager()
    begin(made, "a", [0, 0, 0, 0])
    made.reserve("a", 5)
    made.commit("a", [0, 0, 0, 0], 2)
    assert made.rewind("a", 1) == Rewound(1)
    made.reserve("a", 5)
    made.commit("a", [0, 0, 0, 1], 4)
    assert look(made, [0, 0, 0, 0, 9]).cached_tokens == 0
    assert look(made, [0, 0, 0, 1, 9]).cached_tokens == 4
