"""What a model can be asked for."""

import json

import pytest

from mlxd.errors import ModelSourceError
from mlxd.types import Task
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.encoding.task import find_task
from tests.unit.worker_facts.encoding.copies import DATA, GONE, copied, edit

EMBED, RERANK, GENERATE = Task.EMBED, Task.RERANK, Task.GENERATE


def found(directory):
    return find_task(DirectoryFacts.read(directory))


@pytest.mark.parametrize(
    ("name", "task", "origin"),
    [
        ("bert", EMBED, "modules.json"),
        ("distilbert", EMBED, 'config.json "model_type": distilbert'),
        ("qwen3", EMBED, "modules.json"),
        ("bert_reranker", RERANK, 'config.json "architectures": BertForSequenceClassification'),
        ("layers_reranker", RERANK, 'config_sentence_transformers.json "model_type"'),
        ("qwen3_classifier", RERANK, 'config.json "architectures": Qwen3ForSequenceClassification'),
        ("qwen3_reranker", GENERATE, 'config.json "architectures": Qwen3ForCausalLM'),
    ],
)
def test_what_the_files_say(name, task, origin):
    task_found = found(DATA / name)
    assert (task_found.task, task_found.origin) == (task, origin)


@pytest.mark.parametrize(
    ("name", "config", "task"),
    [
        ("qwen3_reranker", {"classifier_from_token": ["no", "yes"]}, RERANK),
        ("qwen3_reranker", {"architectures": ["Qwen3Model"]}, EMBED),
        ("qwen3_reranker", {"architectures": ["ChatGLMModel"], "model_type": "chatglm"}, GENERATE),
        ("qwen3_reranker", {"model_type": "gemma3_text", "use_bidirectional_attention": True}, EMBED),
        ("qwen3_reranker", {"architectures": GONE}, GENERATE),
        ("distilbert", {"architectures": GONE, "model_type": "roberta"}, EMBED),
    ],
)
def test_what_a_configuration_alone_says(tmp_path, name, config, task):
    assert found(edit(copied(name, tmp_path), "config.json", **config)).task is task


def test_a_module_that_scores_by_logits_says_that_it_reranks(tmp_path):
    directory = copied("qwen3_reranker", tmp_path)
    kinds = ("base.modules.transformer.Transformer", "cross_encoder.modules.logit_score.LogitScore")
    listed = [{"type": f"sentence_transformers.{kind}", "path": path} for kind, path in zip(kinds, ("", "1_LogitScore"), strict=True)]
    (directory / "modules.json").write_text(json.dumps(listed))
    assert found(directory).task is RERANK


@pytest.mark.parametrize("kind", ["SparseEncoder", "MultiVectorEncoder"])
def test_what_is_no_task_here_is_named(tmp_path, kind):
    directory = edit(copied("bert", tmp_path), "config_sentence_transformers.json", model_type=kind)
    with pytest.raises(ModelSourceError, match=rf'config_sentence_transformers.json: "model_type" is "{kind}"'):
        found(directory)


MODULE = {"type": "sentence_transformers.models.Transformer", "path": ""}


@pytest.mark.parametrize(
    ("listed", "said"),
    [
        ({}, "no list of modules"),
        ([], "no list of modules"),
        (["x"], 'module 0 is "x"'),
        ([{"type": "custom_st.Transformer", "path": ""}], "custom_st.Transformer.*runs no code"),
        ([MODULE, {"type": "sentence_transformers.models.CNN", "path": "1_CNN"}], "module 1.*CNN.*not known"),
        ([{"type": "sentence_transformers.models.Pooling", "path": ""}], "first module is Pooling"),
        ([MODULE | {"path": "0_Transformer"}], "in the directory 0_Transformer"),
        ([MODULE, {"type": "sentence_transformers.models.Pooling", "path": "../../etc"}], '"path" "../../etc"'),
    ],
)
def test_modules_that_cannot_be_are_named(tmp_path, listed, said):
    directory = copied("bert", tmp_path)
    (directory / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(ModelSourceError, match=said):
        found(directory)
