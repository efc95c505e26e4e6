"""Adapters beside each other, however steps are computed: each sequence says what it would say alone, with its adapter in the weights."""

import mlx.core as mx
import pytest

from mlxd.worker.engine.plan import Chunk, StepPlan
from mlxd.worker.kv.block_table import Run
from mlxd.worker.runtime.draft.draft_model import DraftModel
from mlxd.worker.runtime.paged.build import proved_model
from mlxd.worker.runtime.paged.manner import Manner
from mlxd.worker.runtime.proof import ROUNDING, difference
from tests.support.adapter_files import write_mlx_lm
from tests.worker.adapters.adapted_rig import AdaptedRig, at_once, linear_shapes, merged, three, tiny
from tests.worker.compiled.steps import GATHER
from tests.worker.runner_rig import alone, architecture, words
from tests.worker.test_drafting import Drafting
from tests.worker.test_speculation import REPEATED, Told, looking_up

PROMPTS = {"long": words(1, 61), "twin": [*words(1, 61)[:44], *words(2, 7)], "short": words(3, 5), "repeated": REPEATED}
COUNT = 12


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return three(tmp_path_factory.mktemp("adapters"), tiny("llama").model)


@pytest.fixture(scope="module")
def expected(sources):
    """What each prompt is answered with each adapter, and with none; by the adapter's place."""
    rig, found = AdaptedRig(tiny("llama")), {}
    for place, source in enumerate((None, *sources)):
        model = merged(tiny("llama"), rig.fit(source)) if source else tiny("llama")
        found[place] = alone(model, PROMPTS, COUNT)
    return found


def adapters_of(rig, sources):
    return [None, *map(rig.fit, sources)]


def play(rig, adapters, *, steps=2):
    """Every prompt with every adapter, one after the other and beside each other."""
    for place, adapter in enumerate(adapters):
        for name, prompt in PROMPTS.items():
            rig.add(f"{place} {name}", prompt, adapter=adapter, max_tokens=COUNT)
            for _ in range(steps):
                rig.step()
    rig.run()
    assert rig.failed == {}
    return {place: {name: rig.tokens[f"{place} {name}"] for name in PROMPTS} for place in range(len(adapters))}


SMALL = {"arena_blocks": 16, "max_arenas": 2}


@pytest.mark.parametrize("options", [{}, {"ahead": True}, SMALL, {"step_tokens": 200}], ids=str)
def test_in_company(sources, expected, options):
    """Also one step ahead, where some are preempted, and where long runs of rows have one adapter."""
    rig = AdaptedRig(tiny("llama"), **options)
    assert play(rig, adapters_of(rig, sources), steps=0 if "step_tokens" in options else 2) == expected
    assert (rig.preemptions > 0) == (options is SMALL)


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize("ahead", [False, True])
def test_compiled(sources, expected, ahead):
    """What is compiled with adapters knows no others: they are loaded while it computes."""
    rig = AdaptedRig(tiny("llama"), ahead=ahead)
    rig.model.ways.regions = GATHER
    compiled = rig.model.compile()
    assert play(rig, adapters_of(rig, sources), steps=6) == expected
    assert compiled.trouble is None
    assert compiled.traced > 3


@pytest.mark.usefixtures("traced")
def test_compiled_for_a_slot_that_another_has_then(sources, expected):
    rig = AdaptedRig(tiny("llama"))
    rig.model.ways.regions = GATHER
    rig.model.compile()
    for place, adapter in enumerate(adapters_of(rig, sources)[1:], start=1):
        assert rig.ask(PROMPTS["short"], adapter=adapter, max_tokens=COUNT)[0] == expected[place]["short"]
        rig.unload(adapter)
        rig.runner.evict_cached()  # so that steps are of the same shapes again


@pytest.mark.parametrize("kind", ["told", "lookup"])
def test_guesses(sources, expected, kind):
    answers = {f"{place} {name}": said for place, found in expected.items() for name, said in found.items()}
    rig = AdaptedRig(tiny("llama"), speculation=Told(answers, seed=3) if kind == "told" else looking_up())
    assert play(rig, adapters_of(rig, sources)) == expected
    assert sum(report.drafts for report in rig.reports) > 0


def test_a_draft_model(sources, expected):
    """It drafts for all of them as it would for the model itself, and what is verified is each one's own."""
    draft = DraftModel(drafting := architecture("llama"), proved_model(drafting, 4))
    speculation = Drafting([0, 2, 4])
    rig = AdaptedRig(tiny("llama"), draft=draft, speculation=speculation)
    assert play(rig, adapters_of(rig, sources)) == expected
    assert 0 < speculation.accepted < speculation.drafted


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision(sources, dtype):
    """Adapters are kept in the model's own type; logits are those of weights that have them, as near as that type is."""
    rig = AdaptedRig(tiny("llama", dtype=dtype))
    assert rig.model.manner is Manner.IN_PLACE
    for adapter in adapters_of(rig, sources)[1:]:
        rig.ask([1, 2, 3], adapter=adapter)
        chunk = Chunk("a", 0, 24, None, (Run(0, 6),), samples=True, adapter=rig.slot_of(adapter))
        rig.model.clear()
        found = rig.model.forward(StepPlan(chunks=(chunk,)), mx.array(words(5, 24))).rows.astype(mx.float32)
        expected = merged(tiny("llama"), adapter).model(mx.array(words(5, 24))[None])[:, -1]
        assert difference(expected, found) < ROUNDING[dtype]


def test_steps_without_adapters_are_what_they_were_to_the_bit(sources):
    """Before any was loaded, while some are, and after."""
    rig = AdaptedRig(tiny("llama"))
    chunks = (Chunk("a", 0, 9, None, (Run(0, 3),), samples=True), Chunk("b", 0, 5, None, (Run(3, 5),), samples=True))

    def logits():
        found = rig.model.forward(StepPlan(chunks=chunks), mx.arange(14)).rows
        mx.eval(found)
        return found

    before = logits()
    for adapter in adapters_of(rig, sources)[1:]:
        rig.ask([1, 2, 3], adapter=adapter)
    rig.model.clear()
    assert mx.array_equal(logits(), before)
    assert rig.store.nbytes > 0
    rig.order(0)
    rig.settle()
    assert rig.store.nbytes == 0
    assert mx.array_equal(logits(), before)


def test_loading_and_unloading_take_no_memory_that_stays(tmp_path):
    rig = AdaptedRig(tiny("llama"))
    shapes = linear_shapes(tiny("llama").model, "q_proj", "up_proj", "down_proj")
    adapters = [rig.fit(write_mlx_lm(tmp_path / f"{seed}", shapes, rank=4 + seed, seed=seed)) for seed in range(3)]
    held = []
    for turn in range(30):
        rig.ask(words(turn, 9), adapter=adapters[turn % 3], max_tokens=2)
        rig.unload(adapters[turn % 3])
        rig.runner.evict_cached()
        mx.clear_cache()
        held.append(mx.get_active_memory())
    assert rig.store.nbytes == 0
    assert max(held[15:]) <= max(held[5:15])


def test_who_waits_for_an_adapter_takes_nobody_s_place(sources, expected):
    """Of three answers to one request two have all places; one gives way as soon as the other request may begin, and not before."""
    arrivals = []
    rig = AdaptedRig(tiny("llama"), max_sequences=2, read=lambda adapter, arrive: arrivals.append(lambda: at_once(adapter, arrive)))
    adapter = rig.fit(sources[0])
    for number in range(3):
        rig.add(f"answer {number}", PROMPTS["short"], max_tokens=COUNT, asks={"parent": "many"})
    rig.add("adapted", PROMPTS["short"], adapter=adapter, max_tokens=COUNT)
    for _ in range(5):
        rig.step()
    assert set(rig.started) == {"answer 0", "answer 1"}
    assert rig.preemptions == 0
    arrivals.pop()()
    for _ in range(3):
        rig.step()
    assert "adapted" in rig.started
    assert rig.preemptions == 1
    rig.run()
    assert rig.tokens["adapted"] == expected[1]["short"]
    assert all(rig.tokens[f"answer {number}"] == expected[0]["short"] for number in range(3))
