"""What keys and values take where some layers see a window only: kept as far as they are seen, beside everything kept.

The first table is computed, for models of which only the shape matters: bytes of one sequence while it decodes, and how many tokens of
conversations of that length a cache of ``--gib`` holds, once its bytes are shared out as they need it. The second is measured, by a tiny
random model with layers like Gemma 3's: the most that a sequence holds while it decodes behind prompts of each length (``in use``, as the
status tells it), what is allocated for keys and values then, and what MLX holds beyond the weights. Both kinds must say the same. Exit
code 1 if they do not, or if at the longest prompt the measured bytes in use are more than a tenth above what is computed.
"""

import argparse
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mlxd.worker.runtime import start  # noqa: F401  first of all: OpenBLAS has to be in the process before MLX

# isort: split
import mlx.core as mx
from mlx_lm.models import gemma3_text

from benchmarks.harness.machine import describe, one_line
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import print_rows, say
from benchmarks.harness.trial import Trial
from mlxd.types import ResolvedLimits, SamplingParams
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.engine.request import EngineRequest
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.build import paged_runner, proved_model

BLOCK, AHEAD = 16, 4  # tokens; blocks that a sequence takes ahead of need
ANSWER = 32
MARGIN = 1.1
MIB, GIB = 2**20, 2**30


@dataclass(frozen=True)
class Shape:
    """A model's layers, as far as keys and values depend on them; ``layer_bytes`` are those of one token in one layer."""

    name: str
    full: int
    windowed: int
    window: int
    layer_bytes: int

    def everything(self, tokens: int) -> int:
        """Returns the bytes of so many tokens in all layers."""
        return tokens * (self.full + self.windowed) * self.layer_bytes

    def seen(self, tokens: int) -> int:
        """Returns the bytes of as many of them as layers see, in whole blocks."""
        shown = min(tokens, self.window + BLOCK)
        return (tokens * self.full + shown * self.windowed) * self.layer_bytes


SHAPES = (
    Shape("like Gemma-3-27B", full=10, windowed=52, window=1024, layer_bytes=2 * 16 * 128 * 2),
    Shape("like gpt-oss-20b", full=12, windowed=12, window=128, layer_bytes=2 * 8 * 64 * 2),
)
TINY = Shape("tiny", full=2, windowed=10, window=256, layer_bytes=2 * 2 * 64 * 4)


@dataclass(frozen=True)
class Held:
    """The most bytes that were held while a sequence decoded."""

    kind: str
    prompt: int
    in_use: int
    allocated: int
    mlx: int


def tiny() -> LoadedModel:
    """A random model with five layers that see a window for each that sees everything."""
    args = gemma3_text.ModelArgs(
        model_type="gemma3_text",
        hidden_size=128,
        num_hidden_layers=TINY.full + TINY.windowed,
        intermediate_size=128,
        num_attention_heads=4,
        head_dim=64,
        vocab_size=512,
        num_key_value_heads=2,
        query_pre_attn_scalar=64,
        sliding_window=TINY.window,
        sliding_window_pattern=6,
    )
    mx.random.seed(0)
    model = gemma3_text.Model(args)
    mx.eval(model.parameters())
    return LoadedModel(
        model=model,
        tokenizer=None,
        end_tokens=frozenset(),
        context_length=2**15,
        vocab_size=512,
        weight_bytes=0,
        device="cpu",
        dtype="float32",
    )


def serve(loaded: LoadedModel, kind: str, prompt: int) -> tuple[Held, list[int]]:
    """One request from beginning to end: what was held while it decoded, and what was said."""
    mx.clear_cache()
    weights = mx.get_active_memory()
    runner = paged_runner(loaded, proved_model(loaded, BLOCK), ResolvedLimits(cache_bytes=128 * MIB))
    tokens = [(7919 * at + at * at) % 509 for at in range(prompt)]
    runner.add(EngineRequest("one", EncodedPrompt(tokens, ANSWER, CacheRoot(model="tiny")), SamplingParams(temperature=0)))
    found: list[Held] = []
    said: list[int] = []
    while not runner.is_idle:
        report = runner.step()
        said += [token.id for event in report.sampled for token in event.tokens]
        if report.sampled:
            found.append(Held(kind, prompt, runner.cache().bytes_used, runner.memory().kv, mx.get_active_memory() - weights))
    runner.evict_cached()
    return max(found[1:-1], key=lambda held: held.in_use), said


def kinds() -> dict[str, LoadedModel]:
    """The same model twice: a context as long as the window is one that nobody outgrows, so everything is kept."""
    loaded = tiny()
    return {"everything kept": replace(loaded, context_length=TINY.window), "as far as it is seen": loaded}


def computed(limit: int, lengths: list[int]) -> list[list[str]]:
    """Returns the rows of the first table."""
    rows = []
    for shape in SHAPES:
        for tokens in lengths:
            everything, seen = shape.everything(tokens), shape.seen(tokens)
            fitting = [limit // each * tokens for each in (everything, seen)]
            held = [f"{everything / MIB:,.0f}", f"{seen / MIB:,.0f}", f"{everything / seen:.1f}"]
            rows.append([f"{shape.name}, {tokens:,} tokens", *held, *(f"{count:,}" for count in fitting)])
    return rows


def main() -> int:
    """Print both tables; 1 if what is measured is not what is computed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=8)
    parser.add_argument("--lengths", type=int, nargs="+", default=[512, 2048, 8192, 32768, 131072])
    parser.add_argument("--prompts", type=int, nargs="+", default=[256, 1024, 4096])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    facts = describe()
    say(one_line(facts))
    held: list[Held] = []
    wrong: list[str] = []

    def work(progress: Progress) -> None:
        models = kinds()
        for prompt in progress.over(args.prompts, lambda prompt: f"{prompt} tokens"):
            found = [serve(loaded, kind, prompt) for kind, loaded in models.items()]
            held.extend(one for one, _ in found)
            if len({tuple(said) for _, said in found}) > 1:
                wrong.append(f"behind {prompt} tokens the answers differ")

    def report() -> int:
        columns = ["", "everything, MiB", "as far as seen, MiB", "times", f"fit {args.gib:g} GiB, all", "fit, as seen"]
        print_rows(
            "computed: one sequence while it decodes, and tokens of such sequences in a cache",
            columns,
            computed(int(args.gib * GIB), args.lengths),
        )
        rows = [
            [f"{one.prompt} tokens, {one.kind}", *(f"{size / MIB:.2f}" for size in (one.in_use, one.allocated, one.mlx))] for one in held
        ]
        print_rows("measured: a tiny model, MiB", ["", "in use", "allocated", "MLX beyond weights"], rows)
        longest = [one for one in held if one.prompt == max(args.prompts) and one.kind == "as far as it is seen"]
        most = [TINY.seen(one.prompt + ANSWER) + AHEAD * BLOCK * (TINY.full + TINY.windowed) * TINY.layer_bytes for one in longest]
        wrong.extend("more is held than is computed" for one, size in zip(longest, most, strict=True) if one.in_use > MARGIN * size)
        for trouble in wrong:
            say(trouble)
        return int(bool(wrong))

    return Trial(report, lambda: {**facts, "held": [asdict(one) for one in held]}, args.json).through(work)


if __name__ == "__main__":
    sys.exit(main())
