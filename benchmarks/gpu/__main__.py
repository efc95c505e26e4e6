"""The check of a GPU: is all right that only a GPU runs, and what does it take? One command, on any machine with MLX's Metal or CUDA.

1. The kernel: compiled, and compared with numpy over random calls of all head sizes and types; and a layer's attention alone, beside MLX's.
2. The ways to attend: each proved by the model's own logits, and which one mlxd would choose for which rows and contexts.
3. Decoding: tokens per second by each way, beside mlx-lm's model over its BatchKVCache in the same rounds; Python's time; memory.
4. Sampling: what each kind costs, and whether it draws only what it may.

Exit code 1 where something is wrong, 2 where there is no GPU. "--device cpu" tries the check itself: its figures say nothing about a GPU.
"""

import argparse
import sys
from pathlib import Path

from mlxd.worker.runtime import start  # noqa: F401  first of all: OpenBLAS has to be in the process before MLX

# isort: split
from benchmarks.gpu.check import Check, Extent
from benchmarks.gpu.device import NoGpuError, use
from benchmarks.harness.tables import say
from benchmarks.harness.trial import Trial

QUICK = Extent(cases=180, rounds=1, steps=8, rows=(1, 5), tokens=(200,))
FULL = Extent(cases=10_000, rounds=5, steps=64, rows=(1, 5, 16, 32), tokens=(500, 4000))


def options() -> argparse.ArgumentParser:
    """Returns the options of the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin:smollm2-135m")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--quick", action="store_true", help="little of everything: does it work?")
    parser.add_argument("--cases", type=int, help="random calls of the kernel")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--steps", type=int, help="of a turn")
    parser.add_argument("--rows", type=int, nargs="+", help="that decode at once")
    parser.add_argument("--tokens", type=int, nargs="+", help="of each row's context")
    parser.add_argument("--json", type=Path, help="default: benchmarks/results/gpu-DATE.json; none with --device cpu")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    args = options().parse_args(arguments)
    try:
        use(args.device)
    except NoGpuError as error:
        say(str(error))
        return 2
    check = Check(args.model, args.device, (QUICK if args.quick else FULL).but(args))
    return Trial(check.report, check.document, args.json or check.usual_path()).through(check.work)


if __name__ == "__main__":
    sys.exit(main())
