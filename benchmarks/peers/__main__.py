"""mlxd, mlx_lm.server and vllm-mlx in one run: throughput, time to the first token, gaps of a stream, memory.

All servers run at the same time and are asked in turns; every round has all four, so that a run that is stopped has whole rounds of
everything. --make-vllm-mlx makes the environment of vllm-mlx first, once; without one it is left out. With --publish the tables and the
charts of the documentation are written at the end, as ``python -m benchmarks.peers.publish FILE`` does later from the raw results.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.engine import long_prompt, memory, throughput, ttft
from benchmarks.harness import vllm_environment
from benchmarks.harness.bench import Bench, options, peer_options, run
from benchmarks.harness.comparison import together
from benchmarks.harness.errors import BenchmarkError

# What a server takes before it has served anything is looked at first.
COMPARISON = together([one.COMPARISON for one in (memory, throughput, ttft, long_prompt)])
RESULTS = Path("peers.json")


def main() -> int:
    """Measures what the command line asks for, and returns the exit code."""
    first, _ = _making().parse_known_args()
    if first.make_vllm_mlx:
        try:
            vllm_environment.make()
        except BenchmarkError as error:
            print(error, file=sys.stderr)
            return 1
    parser = options(__doc__, parents=[_making()])
    peer_options(parser)
    COMPARISON.add_options(parser)
    parser.add_argument("--publish", action="store_true", help="write the tables and charts of the documentation; needs matplotlib")
    parser.set_defaults(json=RESULTS)
    return run(parser, COMPARISON.measure, report)


def report(bench: Bench) -> int:
    """Prints the tables of all; writes what is published, if that is wanted."""
    code = COMPARISON.shown(bench)
    if bench.args.publish:
        from benchmarks.peers.publish import publish  # noqa: PLC0415 - matplotlib is wanted for this alone

        publish(bench.args.json)
    return code


def _making() -> argparse.ArgumentParser:
    """Returns what is asked before the options: whether vllm-mlx is there decides on a default of theirs."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--make-vllm-mlx", action="store_true", help=f"make the environment {vllm_environment.HOME} first, if it is not there"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
