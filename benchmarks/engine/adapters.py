"""What adapters cost: a decode step of the built-in model with none, with one, and with three and none mixed; and a long prompt with one.
All take turns in one process, so that a figure is a ratio first.

The adapters are of random values and change every linear layer of every block, by ranks 8, 16 and 32: few real ones change more.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mlxd.worker.runtime.blas import load_openblas

load_openblas()

import numpy as np  # noqa: E402
from safetensors.numpy import save_file  # noqa: E402

from mlxd.types import ResolvedLimits, SamplingParams, SpeculationKind, Stopping  # noqa: E402
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt  # noqa: E402
from mlxd.worker.engine.adapters.store import AdapterOrders, AdapterStore  # noqa: E402
from mlxd.worker.engine.paged_runner import PagedRunner  # noqa: E402
from mlxd.worker.engine.request import EngineRequest  # noqa: E402
from mlxd.worker.facts.adapters.directory import read_adapter  # noqa: E402
from mlxd.worker.facts.adapters.fit import FittedAdapter, LayerPlace  # noqa: E402
from mlxd.worker.facts.adapters.tensor_values import ExaminedAdapter  # noqa: E402
from mlxd.worker.runtime.loading import load  # noqa: E402
from mlxd.worker.runtime.paged.build import paged_runner, proved_model  # noqa: E402
from mlxd.worker.runtime.source import fetch_model  # noqa: E402

_BLOCK = 16
_PROMPT = 64  # tokens of each that decodes
_RANKS = (8, 16, 32)
_WARM = 3  # steps
_LIMIT = 2**30  # bytes of adapters

Rows = Sequence[FittedAdapter | None]


def written(directory: Path, places: Sequence[LayerPlace], rank: int) -> Path:
    """Returns ``directory`` with a random adapter in it, as PEFT writes them."""
    chance, tensors = np.random.default_rng(rank), {}
    for place in places:
        a = chance.standard_normal((rank, place.inputs)) / np.sqrt(place.inputs)
        b = 0.1 * chance.standard_normal((place.outputs, rank)) / np.sqrt(rank)
        tensors |= {f"{place.path}.lora_A.weight": a.astype(np.float32), f"{place.path}.lora_B.weight": b.astype(np.float32)}
    directory.mkdir()
    (directory / "adapter_config.json").write_text(f'{{"peft_type": "LORA", "r": {rank}, "lora_alpha": {rank}}}')
    save_file(tensors, directory / "adapter_model.safetensors")
    return directory


def step_seconds(runner: PagedRunner, rows: Rows, steps: int) -> float:
    """Returns the median time of a step in which all ``rows`` decode."""
    for number, adapter in enumerate(rows):
        _add(runner, str(number), _PROMPT, _WARM + steps + len(rows), adapter, seed=number)
    taken: list[float] = []
    decoding = 0
    while not runner.is_idle:
        began = time.perf_counter()
        report = runner.step()
        if report.failed:
            raise next(iter(report.failed.values()))
        if report.tokens == len(rows) == len(report.sampled):
            decoding += 1
            if _WARM < decoding <= _WARM + steps:
                taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def prompt_seconds(runner: PagedRunner, tokens: int, adapter: FittedAdapter | None, seed: int) -> float:
    """Returns the time to the first token of a prompt that nobody has computed."""
    began = time.perf_counter()
    _add(runner, "long", tokens, 1, adapter, seed=seed)
    _run(runner)
    return time.perf_counter() - began


def _run(runner: PagedRunner) -> None:
    while not runner.is_idle:
        if failed := runner.step().failed:
            raise next(iter(failed.values()))


def _add(runner: PagedRunner, name: str, length: int, tokens: int, adapter: FittedAdapter | None, seed: int) -> None:  # noqa: PLR0913, PLR0917
    chance = np.random.default_rng((seed, length))
    prompt = EncodedPrompt(chance.integers(5, 40_000, length).tolist(), tokens, CacheRoot(model="builtin", salt=str(time.monotonic_ns())))
    prompt = prompt if adapter is None else prompt.adapted(adapter.identity)
    sampling, stopping = SamplingParams(temperature=0.0), Stopping(ignore_end=True)
    runner.add(EngineRequest(name, prompt, sampling, stopping=stopping, adapter=adapter))


def main() -> int:
    """Measures what the options ask for, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20, help="of each turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=1_500, help="tokens of the long one")
    parser.add_argument("--most", type=float, default=1.5, help="exit code 1 where mixed rows take more times as long as rows without")
    args = parser.parse_args()
    loaded = load(fetch_model("builtin:smollm2-135m", lambda *_: None), dtype="auto", context_limit=None)
    limits = ResolvedLimits(cache_bytes=2**30, max_sequences=args.rows, speculation=SpeculationKind.OFF)
    runner = paged_runner(loaded, proved_model(loaded, _BLOCK), limits)
    with tempfile.TemporaryDirectory() as directory:
        adapters = _loaded(runner, Path(directory))
        kinds: dict[str, Rows] = {
            "none, none loaded": [None] * args.rows,
            "none": [None] * args.rows,
            "one": [adapters[1]] * args.rows,
            "three and none": [(*adapters, None)[row % 4] for row in range(args.rows)],
        }
        return _compare(runner, kinds, adapters[1], args)


def _loaded(runner: PagedRunner, directory: Path) -> list[FittedAdapter]:
    store = runner.adapters
    if not isinstance(store, AdapterStore):
        raise TypeError("this runner computes with no adapters")
    places = [place for place in store.places.all if not place.refusal and ".layers." in place.path]
    sources = [written(directory / str(rank), places, rank) for rank in _RANKS]
    adapters = [FittedAdapter.of(ExaminedAdapter.of(read_adapter(source)), store.places) for source in sources]
    store.read = lambda adapter, arrive: arrive(list(adapter.examined.values()))
    store.follow(AdapterOrders(_LIMIT, known=frozenset(adapter.identity for adapter in adapters)))
    return adapters


def _compare(runner: PagedRunner, kinds: dict[str, Rows], adapter: FittedAdapter, args: argparse.Namespace) -> int:
    steps: dict[str, list[float]] = {name: [] for name in kinds}
    prompts: dict[str, list[float]] = {"none": [], "one": []}
    for _ in range(args.rounds):
        steps["none, none loaded"].append(step_seconds(runner, kinds["none, none loaded"], args.steps))
    for one in dict.fromkeys(one for rows in kinds.values() for one in rows if one):
        _add(runner, one.identity, _PROMPT, 1, one, seed=0)  # loads it
    _run(runner)
    for turn in range(args.rounds):
        for name in list(kinds)[1:]:
            steps[name].append(step_seconds(runner, kinds[name], args.steps))
        for name, one in (("none", None), ("one", adapter)):
            prompts[name].append(prompt_seconds(runner, args.prompt, one, turn))
    print(f"{runner.adapters.nbytes / 2**20:.0f} MiB of adapters, {args.rows} rows")
    print("rows with an adapter   step, ms  times")
    usual = statistics.median(steps["none"])
    for name, found in steps.items():
        print(f"{name:21}  {1e3 * statistics.median(found):8.2f}  {statistics.median(found) / usual:5.3f}")
    print(f"prompt of {args.prompt}        time, s  times")
    for name, found in prompts.items():
        print(f"{name:21}  {statistics.median(found):8.2f}  {statistics.median(found) / statistics.median(prompts['none']):5.3f}")
    return int(statistics.median(steps["three and none"]) > args.most * usual)


if __name__ == "__main__":
    sys.exit(main())
