"""``mlxd status MODEL``."""

import io

import msgspec
from rich.console import Console

from mlxd.adapter_terms import AdapterFigures, AdapterFormat, AdapterState
from mlxd.admin.models import describe_all
from mlxd.config.adapter_table import AdapterTable
from mlxd.control.telemetry import TokenCounters
from mlxd.media_terms import MediaFigures
from mlxd.terminal.model_facts import render_model
from mlxd.types import AttentionState, AttentionWay, ModelState, StepCompilation
from mlxd.wire.attention_facts import AttentionFacts, AttentionWayFacts
from mlxd.wire.model_facts import DraftFacts
from tests.support.statuses import EMBEDS, HEARTBEAT, READY, RERANKS, FakeDaemon, model_status, running_status


def drawn(status, tokens=None):
    daemon, console = FakeDaemon(status), Console(file=io.StringIO(), width=100)
    daemon.tokens = tokens or daemon.tokens
    console.print(render_model(msgspec.to_builtins(describe_all(daemon.sources))[0]))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_every_fact_stands_beside_its_origin():
    assert drawn(running_status("tiny")) == [
        "model       tiny",
        "state       ready",
        "source      builtin:smollm2-135m",
        'runner      simple: batching.mode = "simple"',
        "device      cpu float32",
        "attention   rows used: everywhere else",
        "            gather used: 32 rows of about 128 tokens",
        "            kernel unavailable: needs Metal or CUDA",
        "cache       12 KiB a token instead of 45 KiB",
        '            28 layers of 3 heads of 64: int8, cache.dtype = "int8"',
        "            2 layers of 1 head of 80 and 72 that see 128 tokens: model, no multiples of 32",
        "            perplexity 18.14 instead of 18.1 (+0.22%), the same token first at 99.5% of 383 places",
        "memory      300 B held: 100 B weights, 20 B keys and values, 3 B grammars, 17 B computing, 160 B",
        "            other",
        "guesses     none possible: its cache is not paged",
        'context     2048 tokens: config.json "max_position_embeddings"',
        "vocabulary  49152 tokens: the width of the model's logits",
        'end tokens  2 <|im_end|>: config.json "eos_token_id"',
        "template    chat_template.jinja",
        "tools       hermes: chat_template.jinja has <tool_call>",
        "reasoning   none: nothing shows it",
        "weights     model.safetensors: the one whole set of files",
    ]


def test_a_draft_model_is_shown_with_what_its_weights_take():
    draft = DraftFacts(source="org/small", weight_bytes=300 * 2**20, dtype="bfloat16", context_length=512)
    facts = msgspec.structs.replace(READY.facts, draft=draft)
    lines = drawn(running_status("tiny", ready=msgspec.structs.replace(READY, facts=facts)))
    assert lines[-1] == "draft model  org/small: 300 MiB bfloat16"


def test_an_adapter_says_how_many_layers_it_changes_or_why_it_does_not():
    adapters = {name: AdapterTable(source=f"org/{name}", load="eager" if name == "sql" else "lazy") for name in ("sql", "law", "new")}
    figures = (
        AdapterFigures(
            name="sql", state=AdapterState.LOADED, format=AdapterFormat.MLX_LM, rank=8, scale=20.0, layers=28, bytes=3 * 2**20, requests=2
        ),
        AdapterFigures(name="law", state=AdapterState.FAILED, reason="/srv/law has no adapter_config.json"),
    )
    beat = msgspec.structs.replace(HEARTBEAT, adapters=figures)
    lines = drawn(running_status("tiny", adapters=adapters, heartbeat=beat))
    at = next(number for number, line in enumerate(lines) if line.startswith("adapters"))
    assert lines[at : at + 4] == [
        "adapters    sql loaded (eager): changes 28 layers, rank 8, scale 20, mlx-lm, 3.0 MiB, 2 requests",
        "            law failed (lazy): /srv/law has no adapter_config.json",
        "            new unloaded (lazy): org/new",
        lines[at + 3],
    ]
    assert lines[-1] == "  tiny:law: /srv/law has no adapter_config.json"


def test_how_many_guesses_were_right_stands_beside_what_can_guess():
    lines = drawn(running_status("tiny"), TokenCounters(generated=70, drafted=50, accepted=20))
    assert lines[lines.index("guesses     none possible: its cache is not paged") + 1] == "            20 of 50 right, of 70 tokens"


def test_whether_steps_are_compiled_is_shown_with_the_reason():
    ready = msgspec.structs.replace(READY, compilation=StepCompilation(is_used=False, reason="it looks at values"))
    assert "steps       not compiled: it looks at values" in drawn(running_status("tiny", ready=ready))


def test_a_way_to_attend_that_was_refused_stands_below():
    ways = [AttentionWayFacts(AttentionWay.KERNEL, AttentionState.REFUSED, "what it gives differs from rows")]
    lines = drawn(running_status("tiny", ready=msgspec.structs.replace(READY, attention=AttentionFacts("auto", ways))))
    assert "attention   kernel refused: what it gives differs from rows" in lines
    assert lines[-1] == "  tiny: attention by kernel is refused: what it gives differs from rows"


def test_what_is_doubtful_stands_below():
    facts = msgspec.structs.replace(READY.facts, chat_template=None, end_tokens=[], warnings=["4096 tokens are assumed"])
    lines = drawn(running_status("tiny", ready=msgspec.structs.replace(READY, facts=facts)))
    assert "end tokens  none" in lines
    assert "template    none: the model only completes text" in lines
    assert lines[-1] == "  tiny: 4096 tokens are assumed"


def test_a_model_that_is_not_loaded_shows_what_there_is():
    assert drawn(model_status("tiny", ModelState.STOPPED)) == ["model   tiny", "state   stopped", "source  builtin:smollm2-135m"]


def test_what_a_model_has_looked_at_is_shown_with_what_is_kept_of_it():
    seen = MediaFigures(images=12, videos=1, hits=7, encoded=4, failed=1, encode_seconds=1.0, kept=3, bytes=2**20, limit_bytes=10 * 2**20)
    cache = msgspec.structs.replace(HEARTBEAT.cache, media=seen)
    lines = drawn(running_status("tiny", heartbeat=msgspec.structs.replace(HEARTBEAT, cache=cache)))
    at = lines.index("seen        12 pictures, 1 film: 4 encoded in 250 ms each, 1 failed, 7 times found encoded")
    assert lines[at + 1] == "            1.0 MiB of 10 MiB kept of 3"


def test_a_model_that_embeds_shows_its_vectors_and_nothing_of_answers():
    assert drawn(running_status("mini", ready=EMBEDS)) == [
        "model    mini",
        "state    ready",
        "source   builtin:smollm2-135m",
        "task     embed",
        "runner   encoder: modules.json",
        "device   cpu float32",
        "vectors  384 numbers, or fewer, down to 32, of length 1",
        "pooling  mean: 1_Pooling/config.json",
        "prompts  query: 'query: ', where none is named",
        "memory   300 B held: 100 B weights, 20 B keys and values, 3 B grammars, 17 B computing, 160 B other",
        "context  256 tokens: sentence_bert_config.json",
        "weights  model.safetensors: the only one",
    ]


def test_a_model_that_scores_says_what_a_score_is():
    lines = drawn(running_status("judge", ready=RERANKS))
    assert [line.split(maxsplit=1) for line in lines if line.startswith(("task", "scores", "vectors", "pooling"))] == [
        ["task", "rerank"],
        ["scores", "sigmoid: config.json has one label"],
    ]
