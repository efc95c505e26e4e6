"""What every benchmark is made of: options, a model, servers, measurements, output."""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import load, vllm_environment
from benchmarks.harness.client import Ask, Client
from benchmarks.harness.errors import BenchmarkError
from benchmarks.harness.machine import describe, one_line
from benchmarks.harness.measurements import Measurements
from benchmarks.harness.progress import Progress
from benchmarks.harness.prompts import PromptMaker
from benchmarks.harness.servers import MLXD, OTHER, SIMPLE, MlxdModel, mlx_lm_server, mlxd, vllm_mlx
from benchmarks.harness.signals import cancelled_once, interrupt_on_signals, uninterrupted
from benchmarks.harness.tables import say
from benchmarks.harness.trial import STOPPED, Trial

_ROOT = Path(__file__).resolve().parents[2]
_OF_ONE_RUN = {"json", "resume", "rounds", "publish"}
_MODES: dict[str, dict[str, dict[str, Any]]] = {
    "continuous": {"batching": {"mode": "continuous"}, "cache": {"kind": "paged"}},
    "simple": {"batching": {"mode": "simple"}, "cache": {"kind": "entries"}},
}


def options(description: str | None, parents: Sequence[argparse.ArgumentParser] = ()) -> argparse.ArgumentParser:
    """The options all benchmarks have; each adds its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=_Help, parents=parents)
    parser.add_argument("--quick", action="store_true", help="small numbers: shows that everything works, in about a minute")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything is measured (without it: 5, or 1 with --quick)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the raw results, after each step and at the end")
    parser.add_argument("--resume", action="store_true", help="add rounds to the whole ones that --json FILE has, if it is there")
    parser.add_argument("--model", default="builtin:smollm2-135m", metavar="SOURCE", help="as a source in mlxd.toml")
    parser.add_argument("--config-mode", choices=_MODES, default="continuous", help="what mlxd is configured with")
    parser.add_argument("--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="of mlxd's model; VALUE as JSON or text")
    return parser


def peer_options(parser: argparse.ArgumentParser) -> None:
    """For benchmarks that other servers take part in."""
    parser.add_argument("--against", nargs="*", choices=["mlx_lm", "simple"], default=["mlx_lm"], help='"simple": mlxd in simple mode')
    parser.add_argument(
        "--vllm-mlx",
        metavar="PYTHON",
        default=vllm_environment.python(),
        help="interpreter of an environment with vllm-mlx, which then takes part (without it: the one that benchmarks.peers made)",
    )
    parser.add_argument("--other-mlxd", metavar="PYTHON", help="interpreter of an environment with another mlxd, which then takes part")


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Paragraphs stay, and a default is shown where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


@dataclass
class Bench:
    """One run of one benchmark."""

    args: argparse.Namespace
    directory: Path  # temporary
    model: Path  # what mlxd fetched; its tokenizer is everybody's
    peer_model: Path  # the same weights as mlxd computes with them
    prompts: PromptMaker
    measured: Measurements = field(default_factory=Measurements)
    measured_before: int = 0  # rounds of the run that this one resumes

    @property
    def rounds(self) -> range:
        """Numbered from 0, or on from those of the run that this one resumes."""
        return range(self.measured_before, self.measured_before + (self.args.rounds or (1 if self.args.quick else 5)))

    def sized(self, full: int, quick: int) -> int:
        """A number that ``--quick`` makes smaller."""
        return quick if self.args.quick else full

    def mlxd_model(self, mode: str | None = None) -> MlxdModel:
        """Configured as the options say; ``mode`` for another one, then without ``--set``."""
        model = MlxdModel(self.args.model, _MODES[mode or self.args.config_mode])
        for setting in [] if mode else self.args.set:
            path, _, value = setting.partition("=")
            table, _, key = path.partition(".")
            model = model.with_table(table, **{key: _json_or_text(value)})
        return model

    def new_directory(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory))

    @asynccontextmanager
    async def lineup(self) -> AsyncIterator[list[Client]]:
        """All servers of the comparison, mlxd first, running at the same time: rounds take turns."""
        async with AsyncExitStack() as stack:
            clients = [await self._mlxd(stack, self.mlxd_model(), MLXD)]
            if "simple" in self.args.against:
                clients.append(await self._mlxd(stack, self.mlxd_model("simple"), SIMPLE))
            if self.args.other_mlxd:
                clients.append(await self._mlxd(stack, self.mlxd_model(), OTHER, self.args.other_mlxd))
            clients += [await stack.enter_async_context(peer) for peer in self.peers()]
            yield clients

    def peers(self) -> Iterator[Any]:
        """Other people's servers, to be entered."""
        if "mlx_lm" in self.args.against:
            yield mlx_lm_server(self.peer_model, self.new_directory("mlx_lm"))
        if not self.args.vllm_mlx:
            say("vllm-mlx is left out: --vllm-mlx names the interpreter of an environment that has it; benchmarks.peers can make one")
        elif not vllm_environment.versions(self.args.vllm_mlx):
            say(f"vllm-mlx is left out: {self.args.vllm_mlx} cannot import it")
        else:
            yield vllm_mlx(self.args.vllm_mlx, self.peer_model, self.new_directory("vllm"))

    async def _mlxd(self, stack: AsyncExitStack, model: MlxdModel, name: str, python: str = sys.executable) -> Client:
        daemon = await stack.enter_async_context(mlxd([model], self.new_directory("mlxd"), python))
        return await stack.enter_async_context(daemon.client(model.name, name))

    async def warm_up(self, clients: Sequence[Client], concurrency: int) -> None:
        """Loads end, kernels are compiled, pages are touched; none of it is measured."""
        for client in clients:
            asks = [Ask.text(self.prompts.text(f"warm-up {index}", 64), 4) for index in range(concurrency)]
            await load.together(client, asks)

    def in_turn(self, clients: Sequence[Client], number: int) -> list[Client]:
        """Everybody once, beginning with another one each round: nobody is always measured on the machine another one heated up."""
        first = number % len(clients)
        return [*clients[first:], *clients[:first]]


def run(
    parser: argparse.ArgumentParser, measure: Callable[[Bench, Progress], Coroutine[Any, Any, None]], report: Callable[[Bench], int]
) -> int:
    """Prepares, measures and reports, see ``Trial``; returns the exit code. However it ends, servers and temporary files are gone."""
    args = parser.parse_args()
    interrupt_on_signals()
    facts = describe()
    say(f"{one_line(facts)}; {args.model}, {args.config_mode} mode")
    chosen = {name: value for name, value in vars(args).items() if name not in _OF_ONE_RUN}
    facts["versions"] |= vllm_environment.versions(getattr(args, "vllm_mlx", None))
    head = {"benchmark": parser.prog, **facts, "options": chosen}
    with _temporary_directory() as directory:
        try:
            bench = _prepare(args, directory)
            if args.resume:
                _resume(bench, head)
        except BenchmarkError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return STOPPED
        work = Trial(lambda: report(bench), lambda: {**head, **bench.measured.document()}, args.json)
        return work.through(lambda progress: asyncio.run(cancelled_once(measure(bench, progress))))


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="mlxd-bench-"))
    try:
        yield directory
    finally:
        with uninterrupted():
            shutil.rmtree(directory, ignore_errors=True)


def _prepare(args: argparse.Namespace, directory: Path) -> Bench:
    has_peers = hasattr(args, "against")
    command = [sys.executable, "-m", "benchmarks.harness.peer_model", args.model, *([str(directory / "peer-model")] if has_peers else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=_ROOT)
    if done.returncode:
        raise BenchmarkError("the model could not be prepared, see above")
    found = json.loads(done.stdout.splitlines()[-1])
    stored = Path(found["stored"])
    return Bench(args, directory, stored, Path(found["peer"]), PromptMaker(stored))


def _resume(bench: Bench, head: dict[str, Any]) -> None:
    """Gives ``bench`` what its file has. Raises ``BenchmarkError`` where that was measured of something else, or elsewhere."""
    if bench.args.json is None:
        raise BenchmarkError("--resume wants --json FILE, the file of the run to go on with")
    if not bench.args.json.exists():
        return
    try:
        before = json.loads(bench.args.json.read_text())
        bench.measured, bench.measured_before = Measurements.resumed(before)
        other = [key for key, value in _comparable(head).items() if _comparable(before)[key] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{bench.args.json} is not the result of a benchmark: {error!r}") from error
    if other:
        raise BenchmarkError(f"{bench.args.json} cannot be resumed: it has another {', another '.join(other)}; name another file")
    bench.measured.note(resumed=head["date"], load_average=head["machine"]["load_average"])


def _comparable(head: dict[str, Any]) -> dict[str, Any]:
    """Returns what has to be equal for two runs to be one; as JSON has it, in which a path is text."""
    machine = {name: value for name, value in head["machine"].items() if name != "load_average"}
    options = {name: value for name, value in head["options"].items() if name not in _OF_ONE_RUN}
    kept = {"benchmark": head["benchmark"], "versions": head["versions"], "machine": machine, "options": options}
    return dict(json.loads(json.dumps(kept, default=str)))


def _json_or_text(value: str) -> object:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value
