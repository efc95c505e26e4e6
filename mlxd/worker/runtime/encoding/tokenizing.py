"""The tokenizer of a model that encodes, as its inputs are made with it."""

from typing import Any

from tokenizers.normalizers import Lowercase, Sequence

from mlxd.errors import ConfigError, ModelSourceError
from mlxd.types import Task
from mlxd.worker.facts.encoding.description import EncodingDescription
from mlxd.worker.facts.encoding.scoring import JUDGES
from mlxd.worker.runtime.tokenizing import OpenTokenizer
from mlxd.worker.text.encoding_input import InputEncoder
from mlxd.worker.text.judge_prompt import JudgePrompt

_KINDS = "token_type_ids"  # what transformers gives to models that tell the texts of a pair apart


def input_encoder(opened: OpenTokenizer, description: EncodingDescription, *, most_tokens: int, vocab_size: int) -> InputEncoder:
    """Returns what makes inputs of texts. Raises ``ModelSourceError`` for a tokenizer that the ``tokenizers`` library does not have, and
    ``ConfigError`` where ``most_tokens`` leave no room for a text.
    """
    inner = getattr(opened.tokenizer, "backend_tokenizer", None)
    if inner is None:
        raise ModelSourceError(f"{description.directory.directory} has no tokenizer.json, which is needed to encode texts")
    inner.no_truncation()
    inner.no_padding()
    if description.lower_case:
        inner.normalizer = Lowercase() if inner.normalizer is None else Sequence([Lowercase(), inner.normalizer])
    judge = JudgePrompt.of(opened.tokenizer) if _judges(description) else None
    tells_apart = _KINDS in opened.tokenizer.model_input_names
    inputs = InputEncoder(
        inner,
        most_tokens=most_tokens,
        vocab_size=vocab_size,
        prompts=description.prompts,
        default_prompt=description.default_prompt,
        judge=judge,
        tells_apart=tells_apart,
    )
    added = inputs.added(is_pair=description.task is Task.RERANK)
    if most_tokens <= added:
        raise ConfigError(
            [f"a text may have {most_tokens} tokens, and the model's own are {added}, which leaves no room: set a larger context_length"]
        )
    return inputs


def token_id(opened: OpenTokenizer, description: EncodingDescription, token: int | str) -> int:
    """Returns the id of a token. Raises ``ModelSourceError`` where the vocabulary has none that is spelled so."""
    if isinstance(token, int):
        return token
    vocabulary: Any = opened.vocabulary
    if token not in vocabulary:
        raise ModelSourceError(f'{description.directory.directory}: the tokenizer has no token "{token}", by which pairs are scored')
    return int(vocabulary[token])


def _judges(description: EncodingDescription) -> bool:
    return description.scoring is not None and description.directory.config.get("model_type") == JUDGES
