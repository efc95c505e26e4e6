"""What a draft model gains: tokens a second of the paged runner with one and without, in turns, in one process.

There is no pair of a large and a small model that every machine has. So the model is the built-in one, and many times its layers behind its
own, whose weights are theirs times ``--noise``: it takes as long as a model so much larger, and says what the built-in one says, but for
what the noise adds. The built-in one drafts for it. With no noise every guess is right: the table then has the most that drafting can gain
at this ratio of sizes; with more noise, and other texts, less.
"""

import argparse
import sys
import time
from dataclasses import dataclass, replace

from mlxd.worker.runtime.blas import load_openblas

load_openblas()

import mlx.core as mx  # noqa: E402
import msgspec  # noqa: E402
from mlx.utils import tree_map  # noqa: E402

from mlxd.types import ResolvedLimits, SamplingParams, SpeculationKind, Stopping  # noqa: E402
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt  # noqa: E402
from mlxd.worker.engine.paged_runner import PagedRunner  # noqa: E402
from mlxd.worker.engine.request import EngineRequest  # noqa: E402
from mlxd.worker.runtime.draft.draft_model import DraftModel  # noqa: E402
from mlxd.worker.runtime.loading import LoadedModel, load  # noqa: E402
from mlxd.worker.runtime.paged.build import paged_runner, proved_model  # noqa: E402
from mlxd.worker.runtime.source import fetch_model  # noqa: E402

_BLOCK = 16
_QUESTIONS = (
    "Tell a story of a dragon and a lighthouse.",
    "Explain how rain forms.",
    "List ten facts about the moon.",
    "Describe a city at night.",
)


@dataclass
class Run:
    """What one turn gave."""

    tokens: int = 0
    steps: int = 0
    seconds: float = 0.0
    drafted: int = 0
    accepted: int = 0

    @property
    def rate(self) -> float:
        """Tokens a second, once all streams have begun."""
        return self.tokens / self.seconds


def grown(loaded: LoadedModel, times: int, noise: float) -> LoadedModel:
    """Returns ``loaded`` with so many times as many layers, those behind its own nearly without effect."""
    layers = loaded.model.model.layers
    own = list(layers)
    for number in range((times - 1) * len(own)):
        layer = type(own[0])(loaded.model.args)
        layer.update(tree_map(lambda value: value + 0, own[number % len(own)].parameters()))
        for part in (layer.self_attn.o_proj, layer.mlp.down_proj):
            part.weight = part.weight * noise
        mx.eval(layer.parameters())
        layers.append(layer)
    return replace(loaded, weight_bytes=times * loaded.weight_bytes)


def measure(runner: PagedRunner, prompts: list[list[int]], tokens: int, temperature: float) -> Run:
    """Answers all of ``prompts`` at once."""
    run, begun, began = Run(), set[str](), 0.0
    for number, prompt in enumerate(prompts):
        sampling, encoded = SamplingParams(temperature=temperature, seed=number), EncodedPrompt(prompt, tokens, CacheRoot(model="grown"))
        runner.add(EngineRequest(str(number), encoded, sampling, stopping=Stopping(ignore_end=True)))
    while not runner.is_idle:
        report = runner.step()
        if report.failed:
            raise next(iter(report.failed.values()))
        if len(begun) == len(prompts):
            run.steps += 1
            run.tokens += sum(len(one.tokens) for one in report.sampled)
            run.drafted += sum(one.accepted + one.rejected for one in report.sampled)
            run.accepted += sum(one.accepted for one in report.sampled)
            continue
        begun.update(one.id for one in report.sampled)
        began = time.perf_counter()
    run.seconds = time.perf_counter() - began
    return run


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=4, help="how many times as many layers the model has as its draft model")
    parser.add_argument("--noise", type=float, default=0.0, help="what the other layers add, from 0 on")
    parser.add_argument("--streams", nargs="+", type=int, default=[1, 4], metavar="N", help="at once")
    parser.add_argument("--tokens", type=int, default=48, help="of each answer")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--temperature", type=float, default=0.0)
    args = parser.parse_args()
    path = fetch_model("builtin:smollm2-135m", lambda *_: None)
    small = load(path, dtype="auto", context_limit=None)
    large = grown(load(path, dtype="auto", context_limit=None), args.times, args.noise)
    limits = ResolvedLimits(cache_bytes=2**30, max_sequences=max(args.streams))
    model, draft = proved_model(large, _BLOCK), DraftModel(small, proved_model(small, _BLOCK))
    runner = paged_runner(large, model, limits, draft)
    prompts = [_prompt(small, question) for question in _QUESTIONS]
    print("streams  without   with  ratio  tokens a step  accepted")
    for streams in args.streams:
        asked = [prompts[number % len(prompts)] for number in range(streams)]
        runs = {SpeculationKind.OFF: list[Run](), SpeculationKind.DRAFT: list[Run]()}
        for _ in range(args.rounds):
            for kind, found in runs.items():
                runner.reconfigure(msgspec.structs.replace(limits, speculation=kind))
                found.append(measure(runner, asked, args.tokens, args.temperature))
        without, with_draft = (max(found, key=lambda run: run.rate) for found in runs.values())
        share = with_draft.accepted / max(1, with_draft.drafted)
        print(
            f"{streams:7}  {without.rate:7.1f}  {with_draft.rate:5.1f}  {with_draft.rate / without.rate:5.2f}"
            f"  {with_draft.tokens / with_draft.steps / streams:13.1f}  {share:8.0%}",
            flush=True,
        )
    return 0


def _prompt(loaded: LoadedModel, question: str) -> list[int]:
    messages = [{"role": "user", "content": question}]
    return list(loaded.tokenizer.apply_chat_template(messages, add_generation_prompt=True))


if __name__ == "__main__":
    sys.exit(main())
