"""A manager of layers some of which see a window, by hand."""

from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.kv.block_chain import BlockChain
from mlxd.worker.kv.manager import Manager
from mlxd.worker.kv.sizing import WindowSizes

BLOCK = 4


def manager(*windows, blocks=8, arenas=4, window_blocks=8, window_arenas=4, snapshots=None, growth_blocks=1, block_bytes=()):
    return Manager(
        block_size=BLOCK,
        arena_blocks=blocks,
        capacity=arenas * blocks,
        growth_blocks=growth_blocks,
        snapshots=snapshots,
        windows=[WindowSizes(window, window_blocks, window_arenas * window_blocks, 0) for window in windows],
        block_bytes=block_bytes,
    )


def chain_of(tokens):
    return BlockChain.of(EncodedPrompt(tokens, 1, CacheRoot(model="model")), BLOCK)


def look(made, tokens):
    return made.lookup(chain_of(tokens), tokens)


def begin(made, name, prompt, ends=()):
    chain = chain_of(prompt)
    lookup = made.lookup(chain, prompt)
    made.open(name, chain, lookup, ends)
    return lookup


def compute(made, name, tokens, *stops):
    """As a scheduler does, which gives up what is passed before each step."""
    done = 0
    for stop in stops:
        made.pass_by(name, done)
        assert made.reserve(name, stop)
        made.commit(name, tokens, stop)
        done = stop
    made.pass_by(name, done)


def held(made, name, window=0):
    runs = made.window_runs(name)[window]
    return runs.passed, [block for run in runs.runs for block in run]
