"""The models in little: of each, how transformers builds it, and what sentence-transformers' files say of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.encoding.generate.vocabularies import Vocabulary, pairs_of_ends, with_an_end, with_both_ends, word_pieces, word_pieces_of_two

WIDTH = 32
_SIZES = {"hidden_size": WIDTH, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
_NARROW = {"dim": WIDTH, "n_layers": 3, "n_heads": 4, "hidden_dim": 48}
_TORCH = "torch.nn.modules."


@dataclass(frozen=True)
class Family:
    """A model: ``config`` is made of its vocabulary, ``modules`` come behind the transformer, and ``files`` lie beside them. ``scores``
    tells how pairs are scored: by CrossEncoder, or by the words of Qwen3-Reranker's model card.
    """

    name: str
    model_type: str
    vocabulary: Callable[[], Vocabulary]
    config: Callable[[Vocabulary], dict[str, Any]]
    head: str = "AutoModel"
    modules: tuple[tuple[str, dict[str, Any]], ...] = ()
    files: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    scores: str = ""


def _bert(vocabulary: Vocabulary) -> dict[str, Any]:
    return {**_SIZES, "max_position_embeddings": 128, "pad_token_id": vocabulary.id("[PAD]"), "hidden_act": "gelu"}


def _roberta(vocabulary: Vocabulary) -> dict[str, Any]:
    ids = {"pad_token_id": vocabulary.id("<pad>"), "bos_token_id": vocabulary.id("<s>"), "eos_token_id": vocabulary.id("</s>")}
    return {**_SIZES, **ids, "max_position_embeddings": 258, "type_vocab_size": 1, "layer_norm_eps": 1e-5}


def _distilbert(vocabulary: Vocabulary) -> dict[str, Any]:
    return {**_NARROW, "max_position_embeddings": 128, "pad_token_id": vocabulary.id("[PAD]")}


def _modernbert(vocabulary: Vocabulary) -> dict[str, Any]:
    named = {"pad": "[PAD]", "eos": "[SEP]", "bos": "[CLS]", "cls": "[CLS]", "sep": "[SEP]"}
    ids = {f"{key}_token_id": vocabulary.id(token) for key, token in named.items()}
    return {**_SIZES, **ids, "num_hidden_layers": 5, "max_position_embeddings": 512, "local_attention": 16}


def _nomic(vocabulary: Vocabulary) -> dict[str, Any]:
    return {**_SIZES, "max_position_embeddings": 256, "pad_token_id": vocabulary.id("[PAD]")}


def _llama(vocabulary: Vocabulary) -> dict[str, Any]:
    ids = {"pad_token_id": vocabulary.id("<|endoftext|>"), "eos_token_id": vocabulary.id("<|im_end|>"), "bos_token_id": None}
    return {**_SIZES, **ids, "num_key_value_heads": 2, "max_position_embeddings": 1024, "tie_word_embeddings": False}


def _qwen3(vocabulary: Vocabulary) -> dict[str, Any]:
    ids = {"pad_token_id": vocabulary.id("<|endoftext|>"), "eos_token_id": vocabulary.id("<|im_end|>"), "bos_token_id": None}
    return {**_SIZES, **ids, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 1024, "tie_word_embeddings": True}


def _gemma(vocabulary: Vocabulary) -> dict[str, Any]:
    ids = {f"{key}_token_id": vocabulary.id(f"<{key}>") for key in ("pad", "eos", "bos")}
    heads = {"num_key_value_heads": 1, "head_dim": 16, "query_pre_attn_scalar": 16, "num_hidden_layers": 4}
    seen = {"sliding_window": 16, "use_bidirectional_attention": True, "max_position_embeddings": 512}
    layers = {"layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"]}
    return {**_SIZES, **ids, **heads, **seen, **layers}


def _dense(inputs: int, outputs: int, activation: str, **others: Any) -> tuple[str, dict[str, Any]]:
    known = {"in_features": inputs, "out_features": outputs, "bias": True, "activation_function": _TORCH + activation}
    return "Dense", known | others


def _pooling(*modes: str, **others: Any) -> tuple[str, dict[str, Any]]:
    return "Pooling", {"word_embedding_dimension": WIDTH, **{f"pooling_mode_{mode}": True for mode in modes}, **others}


_NORMALIZE = ("Normalize", {})
_ALL_MODES = ("cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
_PROMPTS = {"config_sentence_transformers.json": {"prompts": {"query": "query: ", "document": ""}, "default_prompt_name": None}}
_ONE = {"num_labels": 1, "id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}}


def _of_one(config: Callable[[Vocabulary], dict[str, Any]], **others: Any) -> Callable[[Vocabulary], dict[str, Any]]:
    return lambda vocabulary: config(vocabulary) | _ONE | others


_CLASSIFIER = "AutoModelForSequenceClassification"
_RAW = {"sbert_ce_default_activation_function": _TORCH + "linear.Identity"}
_LENGTH = {"sentence_bert_config.json": {"max_seq_length": 100, "do_lower_case": True}}

FAMILIES = {
    family.name: family
    for family in (
        Family("bert", "bert", word_pieces_of_two, _bert, modules=(_pooling("mean_tokens"), _NORMALIZE), files=_LENGTH),
        Family(
            "bert_modes",
            "bert",
            word_pieces_of_two,
            _bert,
            modules=(
                _pooling(*_ALL_MODES, include_prompt=False),
                _dense(6 * WIDTH, 24, "activation.Tanh"),
                ("LayerNorm", {"dimension": 24}),
                _dense(24, 24, "activation.SiLU", use_residual=True),
            ),
            files=_PROMPTS,
        ),
        Family("xlm_roberta", "xlm-roberta", pairs_of_ends, _roberta, modules=(_pooling("cls_token"), _NORMALIZE)),
        Family("mpnet", "mpnet", pairs_of_ends, _roberta, modules=(_pooling("mean_tokens"), _NORMALIZE)),
        Family("mpnet_reranker", "mpnet", pairs_of_ends, _of_one(_roberta), _CLASSIFIER, scores="CrossEncoder"),
        Family("distilbert", "distilbert", word_pieces, _distilbert),
        Family("modernbert", "modernbert", word_pieces, _modernbert, modules=(_pooling("mean_tokens"),)),
        Family("nomic_bert", "nomic_bert", word_pieces_of_two, _nomic, modules=(_pooling("mean_tokens"), _NORMALIZE), files=_PROMPTS),
        Family("llama", "llama", with_an_end, _llama, modules=(_pooling("lasttoken"), _NORMALIZE)),
        Family("qwen3", "qwen3", with_an_end, _qwen3, modules=(_pooling("lasttoken"), _NORMALIZE), files=_PROMPTS),
        Family(
            "gemma",
            "gemma3_text",
            with_both_ends,
            _gemma,
            modules=(
                _pooling("mean_tokens"),
                _dense(WIDTH, 40, "linear.Identity", bias=False),
                _dense(40, WIDTH, "linear.Identity", bias=False),
                _NORMALIZE,
            ),
        ),
        Family("bert_reranker", "bert", word_pieces, _of_one(_bert, **_RAW), _CLASSIFIER, scores="CrossEncoder"),
        Family("xlm_roberta_reranker", "xlm-roberta", pairs_of_ends, _of_one(_roberta), _CLASSIFIER, scores="CrossEncoder"),
        Family("distilbert_reranker", "distilbert", word_pieces, _of_one(_distilbert), _CLASSIFIER, scores="CrossEncoder"),
        Family(
            "modernbert_reranker",
            "modernbert",
            word_pieces,
            _of_one(_modernbert, classifier_pooling="mean"),
            _CLASSIFIER,
            scores="CrossEncoder",
        ),
        Family(
            "layers_reranker",
            "modernbert",
            word_pieces,
            _modernbert,
            modules=(
                _pooling("cls_token"),
                _dense(WIDTH, WIDTH, "activation.GELU"),
                ("LayerNorm", {"dimension": WIDTH}),
                _dense(WIDTH, 1, "linear.Identity", module_output_name="scores"),
            ),
            files={"config_sentence_transformers.json": {"model_type": "CrossEncoder", "activation_fn": _TORCH + "linear.Identity"}},
            scores="CrossEncoder",
        ),
        Family("qwen3_classifier", "qwen3", with_an_end, _of_one(_qwen3), _CLASSIFIER, scores="classifier"),
        Family("qwen3_reranker", "qwen3", with_an_end, _qwen3, "AutoModelForCausalLM", scores="answers"),
    )
}
