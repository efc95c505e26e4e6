"""The memory that a model that sees asks for before it is loaded."""

import pytest

from mlxd.types import ResolvedLimits
from mlxd.worker.runtime import start
from mlxd.worker.text.media_processor import KEPT
from tests.support.vision_references import checkpoint
from tests.worker.worker_link import load_message


class EnoughError(Exception):
    """What was to be seen was seen."""


def transients(directory):
    order, asked = load_message(directory), []

    def permit(needs):
        asked.append(needs.transients)
        raise EnoughError

    with pytest.raises(EnoughError):
        start.start_model(order, ResolvedLimits.of(order.limits, 2**20), lambda *_: None, permit)
    return asked[0]


def test_what_a_tower_computes_with_and_what_is_kept_ready_for_it_is_asked_for(monkeypatch):
    directory = checkpoint("qwen3_vl")
    sees = transients(directory)
    monkeypatch.setattr("mlxd.worker.runtime.vision.library.find_spec", lambda _: None)  # a model of text, of the same words
    assert sees - transients(directory) == pytest.approx(start._TOWER + KEPT, rel=0.001)  # and a tenth of the tower's weights
