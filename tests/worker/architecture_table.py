"""``docs/architectures.md``: which runner every architecture gets. ``python -m tests.worker.architecture_table`` prints it."""

import re
import sys
from collections import Counter
from pathlib import Path

from tests.support.architectures import ARCHITECTURES, BROKEN
from tests.worker.vision.sight_table import SPECIAL, sight_section, told

DOCUMENT = Path(__file__).parents[2] / "docs" / "architectures.md"
_ROW = re.compile(r"\| `(?P<name>[^`]+)` \| (?P<runner>\w+) \| (?P<reason>.*) \|")

_HEAD = """# Which architecture gets which runner

With `batching.mode = "continuous"` and the paged cache, a model runs on the paged runner if it is *proved* at load: random tokens, in
chunks and beside another sequence, must give the plain model's logits. Else it runs on the contiguous runner (mlx-lm's own batching),
if that gives the plain model's logits; else one request at a time on the simple runner. `mlxd status`, the log and the metric
`mlxd_model_runner` say which, and why.

This table is generated: `python -m tests.worker.architecture_table > docs/architectures.md`. Every row is a tiny random model of mlx-lm's
own class, and a test (`tests/worker/test_architectures.py`) compares its tokens with the plain model's: in chunks, in a batch, and after
a prefix hit, in float32 on the CPU. A *variant* is named after what it varies.
"""


def documented(text):
    """Name of an architecture -> its runner, and why."""
    rows = [_ROW.fullmatch(line) for line in text.splitlines()]
    return {row["name"]: (row["runner"], row["reason"]) for row in rows if row}


def shown(choice):
    """A choice as the table has it: without figures that vary from machine to machine."""
    reason = re.sub(r" by [\d.einf+-]+ standard deviations", "", choice.reason)
    return choice.name, reason.replace("|", "/")


def table(choices, sights):
    """The whole document. ``choices``: name -> ``shown``; ``sights``: name -> what a model sees."""
    counts = Counter(runner for runner, _ in choices.values())
    known = [name for name in choices if ARCHITECTURES[name].in_mlx_lm_test]
    paged = sum(choices[name][0] == "paged" for name in known)
    lines = [_HEAD]
    lines.append(f"{counts['paged']} paged, {counts['contiguous']} contiguous, {counts['simple']} simple.")
    lines.append(f"Of the {len(known)} that mlx-lm's own test of all models knows too, {paged} are paged.")
    lines += ["", "| architecture | runner | why |", "|---|---|---|"]
    lines += [f"| `{name}` | {runner} | {reason} |" for name, (runner, reason) in sorted(choices.items(), key=lambda item: item[0].lower())]
    lines += ["", "Not built here:", "", "| module | why |", "|---|---|"]
    lines += [f"| `{name}` | {reason} |" for name, reason in sorted(BROKEN.items())]
    return "\n".join([*lines, "", sight_section(sights)]) + "\n"


def main():
    from mlxd.worker.runtime import start  # noqa: F401, PLC0415  first of all: OpenBLAS has to be in the process before MLX
    from tests.support.seeing_rig import SeeingRig  # noqa: PLC0415
    from tests.support.vision_references import architectures  # noqa: PLC0415
    from tests.worker.test_architectures import choose  # noqa: PLC0415

    sights = {name: told(SeeingRig(name).choice.sight.abilities) for name in architectures() if name in SPECIAL}
    sys.stdout.write(table({name: shown(choose(name)[1]) for name in ARCHITECTURES}, sights))


if __name__ == "__main__":
    main()
