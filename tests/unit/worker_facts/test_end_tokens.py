import pytest

from mlxd.errors import ModelSourceError
from mlxd.worker.facts.end_tokens import find_end_tokens
from mlxd.worker.facts.settle import end_of_turn, settle, unite
from tests.unit.worker_facts.directories import sources

VOCABULARY = {"a": 0, "b": 1, "<end>": 2, "<turn>": 3, "<start>": 4, "\n": 5}


def ids(directory, **files):
    return find_end_tokens(sources(directory, **files)).ids


def test_all_files_are_united(tmp_path):
    found = find_end_tokens(
        sources(
            tmp_path,
            config={"eos_token_id": 1, "text_config": {"eos_token_id": [2, 1]}},
            generation={"eos_token_id": [3]},
            tokenizer={"eos_token": "<end>"},
            special_tokens={"eos_token": {"content": "<turn>", "lstrip": False}},
        )
    )
    assert found.ids == {
        2: ('config.json "text_config.eos_token_id"',),
        1: ('config.json "text_config.eos_token_id"', 'config.json "eos_token_id"'),
        3: ('generation_config.json "eos_token_id"',),
    }
    assert found.texts == {"<end>": ('tokenizer_config.json "eos_token"',), "<turn>": ('special_tokens_map.json "eos_token"',)}


def test_zero_is_a_token_like_any_other(tmp_path):
    assert set(ids(tmp_path, config={"eos_token_id": 0}, generation={"eos_token_id": [0, 1]})) == {0, 1}


@pytest.mark.parametrize("nothing", [None, [], -1, [-1]])
def test_none_is_none(tmp_path, nothing):
    assert ids(tmp_path, config={"eos_token_id": nothing}) == {}


@pytest.mark.parametrize("value", ["2", 2.0, True, [[2]], [None], {"id": 2}, -2, 10**12])
@pytest.mark.parametrize("file", ["config", "generation"])
def test_what_is_no_token_is_named_with_file_and_key(tmp_path, file, value):
    with pytest.raises(ModelSourceError, match=rf'/{file}[a-z_]*\.json: "eos_token_id" is '):
        ids(tmp_path, **{file: {"eos_token_id": value}})


@pytest.mark.parametrize("value", [7, ["<end>"], {"content": 7}, {"text": "<end>"}])
def test_a_spelling_that_is_none(tmp_path, value):
    with pytest.raises(ModelSourceError, match=r'tokenizer_config\.json: "eos_token" is '):
        find_end_tokens(sources(tmp_path, tokenizer={"eos_token": value}))


def test_spellings_become_ids_and_origins_are_kept(tmp_path):
    found = find_end_tokens(sources(tmp_path, config={"eos_token_id": 2}, tokenizer={"eos_token": "<end>"}))
    united = unite(found, {2: "the tokenizer's own", 3: "the end of a turn in chat_template.jinja"}, VOCABULARY)
    assert [(token.id, token.text, token.origins) for token in united] == [
        (2, "<end>", ['config.json "eos_token_id"', 'tokenizer_config.json "eos_token"']),
        (3, "<turn>", ["the end of a turn in chat_template.jinja"]),
    ]


def test_what_cannot_be_generated_is_left_out_and_said(tmp_path):
    united = unite(find_end_tokens(sources(tmp_path, config={"eos_token_id": [2, 9]})), {}, VOCABULARY)
    settled = settle(united, VOCABULARY.values(), 6)
    assert [token.id for token in settled.usable] == [2]
    assert settled.warnings == ['the end token 9 (config.json "eos_token_id") is beyond the model\'s vocabulary of 6: it is ignored']


def test_a_model_that_never_ends_and_a_tokenizer_that_knows_too_much(tmp_path):
    settled = settle([], VOCABULARY.values(), 4)
    assert "no file of the model names an end token" in settled.warnings[0]
    assert "the tokenizer knows tokens up to 5, the model has 4" in settled.warnings[1]


@pytest.mark.parametrize(
    ("tail", "end"),
    [
        ("<turn>", 3),
        (" <turn>\n", 3),
        ("<turn>\n<end>", 3),
        ("", None),
        ("\n", None),
        ("<start>user", None),  # text follows: a marker inside an answer may look like this
        (" more", None),
    ],
)
def test_the_token_behind_an_answer_ends_the_turn(tail, end):
    added = {text: VOCABULARY[text] for text in ("<end>", "<turn>", "<start>", "\n")}
    assert end_of_turn(f"<start>Which?<turn>\n<start>Paris{tail}", "Paris", added) == end


def test_where_a_message_is_only_a_part_of_an_answer_its_end_ends_nothing():
    rendered = "<|start|>assistant<|channel|>final<|message|>Paris"
    added = {text: token for token, text in enumerate(("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"))}
    assert end_of_turn(rendered + "<|end|>", "Paris", added) is None
    assert end_of_turn(rendered + "<|return|>", "Paris", added) == 4


def test_an_answer_that_is_not_rendered_ends_nothing():
    assert end_of_turn("<start>", "Paris", {"<turn>": 3}) is None
    assert end_of_turn("Paris<turn>", "Paris", {}) is None
    assert end_of_turn("Paris\n", "Paris", {"\n": 5}) is None
