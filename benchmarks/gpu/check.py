"""All parts of the check, what they found, and what is wrong of it."""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.engine.operations import Figure
from benchmarks.engine.operations import Rig as Operations
from benchmarks.gpu import decoding, kernel_proof, layer_speed, sampling
from benchmarks.gpu.device import describe_gpu
from benchmarks.gpu.tables import print_decoding, print_layers, print_memory, print_operations, print_proofs, print_sampling, print_ways
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.machine import describe, one_line
from benchmarks.harness.progress import Progress
from benchmarks.harness.tables import say
from mlxd.types import AttentionWay
from mlxd.worker.runtime.loading import LoadedModel, load
from mlxd.worker.runtime.paged.attention.kernel.language import Language, NoKernelError, language_of_device
from mlxd.worker.runtime.paged.attention.regions import Regions
from mlxd.worker.runtime.paged.attention_choice import choose_attention
from mlxd.worker.runtime.paged.build import prove_model
from mlxd.worker.runtime.paged.compiled.trial import try_compiling
from mlxd.worker.runtime.paged.layer_cache import NotPageableError
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.paged.probe import probe
from mlxd.worker.runtime.source import fetch_model

_WRONG = "wrong"
RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Extent:
    """How much of everything is tried."""

    cases: int
    rounds: int
    steps: int
    rows: tuple[int, ...]
    tokens: tuple[int, ...]

    def but(self, args: argparse.Namespace) -> "Extent":
        """Returns the extent with whatever the options say otherwise."""
        said = {name: getattr(args, name) for name in asdict(self) if getattr(args, name) is not None}
        return replace(self, **{name: tuple(value) if isinstance(value, list) else value for name, value in said.items()})


@dataclass
class Check:
    """``work`` fills what ``report`` shows and ``document`` writes."""

    source: str
    device: str
    extent: Extent
    language: Callable[[], Language] = language_of_device
    facts: dict[str, Any] = field(default_factory=describe)
    proofs: list[kernel_proof.Proof] = field(default_factory=list)
    layers: list[layer_speed.LayerSpeed] = field(default_factory=list)
    decoded: list[decoding.Decoding] = field(default_factory=list)
    sampled: list[sampling.Sampling] = field(default_factory=list)
    no_kernel: str = ""  # why
    chosen: dict[str, str] = field(default_factory=dict)  # what mlxd itself makes of each way, as mlxd status would tell
    ways: dict[str, str] = field(default_factory=dict)  # what each proof said
    compiled: dict[str, str] = field(default_factory=dict)  # and each attempt to compile steps
    operations: list[Figure] = field(default_factory=list)

    def usual_path(self) -> Path | None:
        """Returns where results of a GPU go; None for a trial of the check."""
        if self.device == "cpu":
            return None
        RESULTS.mkdir(exist_ok=True)
        return RESULTS / f"gpu-{datetime.now(UTC):%Y-%m-%d-%H%M}.json"

    def work(self, progress: Progress) -> None:
        """Does everything, the kernel first: it needs no model."""
        self.facts |= {"device": describe_gpu(self.device), "model": self.source, "extent": asdict(self.extent)}
        say(one_line(self.facts))
        say(f"device: {self.facts['device']}")
        self._try_kernel(progress)
        loaded = load(fetch_model(self.source, lambda *_: None), dtype="auto", context_limit=None)
        for rows in progress.over(self.extent.rows, lambda rows: f"sampling {rows} rows"):
            self.sampled += sampling.measured(loaded.vocab_size, rows, self.extent.steps)
        self._try_model(loaded, progress)

    def report(self) -> int:
        """Prints the tables, and returns 1 where something is wrong."""
        print_proofs(self.proofs)
        print_layers(self.layers)
        print_ways(self.ways, self.compiled)
        for way, reason in self.chosen.items():
            say(f"mlxd by itself: {way} is {reason}")
        print_operations(self.operations)
        print_decoding(self.decoded)
        print_memory(self.decoded)
        print_sampling(self.sampled)
        for line in (lines := self._wrong()):
            say(f"WRONG: {line}")
        if self.no_kernel:
            say(f"no kernel: {self.no_kernel}")
        return int(bool(lines))

    def document(self) -> dict[str, Any]:
        """Returns everything there is."""
        names = ("proofs", "layers", "operations", "decoded", "sampled")
        found = {name: [asdict(one) for one in getattr(self, name)] for name in names}
        said = {"no_kernel": self.no_kernel, "chosen": self.chosen, "ways": self.ways, "compiled": self.compiled, "wrong": self._wrong()}
        return {**self.facts, **said, **found}

    def _try_kernel(self, progress: Progress) -> None:
        try:
            language = self.language()
        except NoKernelError as error:
            self.no_kernel = error.message
            return
        for shape in progress.over(kernel_proof.SHAPES, lambda _: "the kernel"):
            self.proofs.append(kernel_proof.proof(language, shape, -(-self.extent.cases // len(kernel_proof.SHAPES))))
        if all(proof.is_right for proof in self.proofs):
            shapes = list(layer_speed.shapes(self.extent.rows, self.extent.tokens))
            for rows, tokens in progress.over(shapes, lambda _: "a layer's attention"):
                self.layers.append(layer_speed.measured(language, rows, tokens, self.extent.rounds))

    def _try_model(self, loaded: LoadedModel, progress: Progress) -> None:
        try:
            proved = prove_model(loaded, decoding.BLOCK_SIZE)
        except NotPageableError as error:
            raise BenchmarkError(f"{self.source}: {error.message}") from error
        model, token_bytes = proved.model, proved.model.token_bytes
        facts = choose_attention(loaded, proved, "auto", max(self.extent.rows))
        self.chosen = {one.way: f"{one.state}: {one.reason}" for one in facts.ways}
        contenders = list(self._contenders(loaded, model))
        for rows in progress.over(self.extent.rows, lambda _: "operations"):
            self.operations += Operations(loaded, model, rows, self.extent.tokens[0]).figures(self.extent.rounds)
        turns = [(rows, tokens) for tokens in self.extent.tokens for rows in self.extent.rows]
        for rows, tokens in progress.over(turns, lambda turn: f"decoding after {turn[1]} tokens"):
            if not decoding.fits(token_bytes, rows, tokens):
                say(f"{rows} rows of {tokens} tokens are left out: their keys and values take too much of this machine's memory")
                continue
            rig = decoding.Rig(loaded, model, rows, tokens, self.extent.steps)
            for number in range(self.extent.rounds):
                self.decoded += rig.turns(contenders, number)

    def _contenders(self, loaded: LoadedModel, model: PagedModel) -> Iterator[decoding.Contender]:
        """Yields what is proved: each way, and its steps compiled where they can be."""
        for way in AttentionWay:
            if way not in model.ways.ways:
                self.ways[way] = model.ways.missing[way]
            elif self._prove(loaded, model, way):
                yield decoding.Contender(way, compiled=False)
                model.ways.regions = Regions(usual=way, most_copied=sys.maxsize)
                found = try_compiling(loaded, model, "on")
                self.compiled[way] = found.reason
                if found.is_used:
                    yield decoding.Contender(way, compiled=True)
        model.compiled = None

    def _prove(self, loaded: LoadedModel, model: PagedModel, way: AttentionWay) -> bool:
        model.ways.regions = Regions(usual=way, most_copied=sys.maxsize)
        try:
            probe(loaded, model)
        except Exception as error:  # noqa: BLE001 - whatever a device says
            self.ways[way] = f"{_WRONG}: {error}"
            return False
        self.ways[way] = "right"
        return True

    def _wrong(self) -> list[str]:
        kernels = [f"the kernel for {one.shape}: {one.reason or one.worst}" for one in self.proofs if not one.is_right]
        ways = [f"attending by {way}: {said}" for way, said in self.ways.items() if said.startswith(_WRONG)]
        drawn = [f"{one.kind} of {one.rows} rows drew {one.wrong} tokens that it may not" for one in self.sampled if one.wrong]
        return kernels + ways + drawn
