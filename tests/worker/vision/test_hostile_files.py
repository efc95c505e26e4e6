"""Files that are made to hurt, or are none: each is refused by name, in little time and memory, and nothing of it is raised."""

import json
import re
import subprocess
import sys

from tests.support.film_files import hostile_films
from tests.support.picture_files import hostile_pictures

MOST_SECONDS = 2.0  # of processor time, each
MOST_BYTES = 120_000_000  # for all of them: a picture of as many pixels as are allowed takes a tenth


def test_every_one_is_refused_by_name_in_bounded_time_and_memory(tmp_path):
    cases = {f"{number:03}.picture": case for number, case in enumerate(hostile_pictures())}
    cases |= {f"{number:03}.film": case for number, case in enumerate(hostile_films())}
    assert len(cases) > 60
    for name, (_, data, _) in cases.items():
        (tmp_path / name).write_bytes(data)
    run = subprocess.run([sys.executable, "-m", "tests.support.hostile_files", str(tmp_path)], capture_output=True, check=True, timeout=120)
    told = json.loads(run.stdout)
    assert [one["file"] for one in told["files"]] == sorted(cases)
    for one in told["files"]:
        name, _, expected = cases[one["file"]]
        assert one["said"].startswith("part: "), (name, one["said"])
        assert re.search(expected, one["said"]), (name, one["said"])
        assert one["seconds"] < MOST_SECONDS, (name, one["seconds"])
    assert told["grown"] < MOST_BYTES
