"""A draft model whose calls are compiled guesses what it guesses otherwise."""

import pytest

from mlxd.worker.runtime.draft.draft_model import DraftModel
from mlxd.worker.runtime.paged.build import proved_model
from tests.worker.compiled.steps import GATHER
from tests.worker.runner_rig import PagedRig, alone, architecture
from tests.worker.test_drafting import BLOCK, Drafting

pytestmark = pytest.mark.usefixtures("traced")


@pytest.mark.parametrize("ahead", [False, True])
def test_every_guess_of_the_same_weights_is_right(ahead):
    loaded, small = architecture("llama"), architecture("llama")
    model = proved_model(small, BLOCK)
    model.ways.regions = GATHER
    model.compile()
    speculation = Drafting((0, 3, 5))
    made = PagedRig(loaded, draft=DraftModel(small, model), speculation=speculation, ahead=ahead)
    prompts = {name: b"story number " + name.encode() for name in "abc"}
    for name, prompt in prompts.items():
        made.add(name, prompt, max_tokens=30)
    made.run()
    assert made.tokens == alone(loaded, prompts, 30, said=made.tokens)
    assert speculation.accepted == speculation.drafted > 0
    assert model.compiled.trouble is None
    assert model.compiled.traced > 1
