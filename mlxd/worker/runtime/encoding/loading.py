"""The way from a model directory to a model in memory that makes vectors or scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlxd.errors import ModelSourceError
from mlxd.types import Task
from mlxd.wire.encoding_facts import EncodingFacts
from mlxd.worker.encoded_input import EncodedInput
from mlxd.worker.facts.context import Context
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.encoding.description import EncodingDescription
from mlxd.worker.facts.encoding.longest import wished_longest
from mlxd.worker.facts.encoding.scoring import ScoreKind
from mlxd.worker.runtime.device import detect_device
from mlxd.worker.runtime.encoding.encoding_model import EncodingModel
from mlxd.worker.runtime.encoding.known import architecture_for
from mlxd.worker.runtime.encoding.probe import prove_encoder
from mlxd.worker.runtime.encoding.tokenizing import input_encoder, token_id
from mlxd.worker.runtime.encoding.weights import attach_weights
from mlxd.worker.runtime.first_logits import check_weights
from mlxd.worker.runtime.library_errors import library_errors
from mlxd.worker.runtime.loading import cast_weights
from mlxd.worker.runtime.parameters import floating_type, read_parameters, type_name, weight_bytes
from mlxd.worker.runtime.tokenizing import OpenTokenizer, open_tokenizer
from mlxd.worker.runtime.x86 import install_activations
from mlxd.worker.text.encoding_input import InputEncoder


@dataclass(frozen=True)
class OpenedEncoder:
    """A model that encodes, whose weights are not in memory yet."""

    model: EncodingModel
    description: EncodingDescription
    context: Context
    tokenizer: OpenTokenizer
    weight_bytes: int
    device: str  # "cpu" | "gpu"
    dtype: str  # of the first floating-point weight

    @property
    def directory(self) -> DirectoryFacts:
        """Returns what is known of the model's directory."""
        return self.description.directory


@dataclass(frozen=True)
class LoadedEncoder:
    """A model that encodes, in memory. ``inputs`` makes of texts what it takes; ``context_length`` is the most tokens of one."""

    model: EncodingModel
    inputs: InputEncoder
    tokenizer: OpenTokenizer
    context_length: int
    vocab_size: int
    weight_bytes: int
    device: str  # "cpu" | "gpu"
    dtype: str
    facts: EncodingFacts
    warnings: tuple[str, ...]

    def vectors(self, batch: Sequence[EncodedInput]) -> mx.array:
        """Returns the vectors of texts of any lengths, ``[texts, dimension]`` in float32: of each, the one that it has alone."""
        return self.model.vectors(batch)

    def scores(self, batch: Sequence[EncodedInput]) -> mx.array:
        """Returns the scores of pairs of any lengths, ``[pairs]`` in float32: of each, the one that it has alone."""
        return self.model.scores(batch)


def open_encoder(directory: DirectoryFacts, task: Task, *, dtype: str, context_limit: int | None) -> OpenedEncoder:
    """Finds out everything about the model, but leaves its weights out of memory. ``dtype`` "auto" means as stored on a GPU, and on a CPU
    dequantized to float32. ``context_limit`` is the longest text that is wished for.

    Raises ``ModelSourceError`` that names what in the directory cannot be, and ``ConfigError`` for a length that the model cannot have.
    """
    description = EncodingDescription.read(directory, task)
    context = wished_longest(directory, description.context, context_limit)
    device = detect_device()
    architecture = architecture_for(directory.config)
    what = f"{directory.directory} cannot be loaded as a model that encodes"
    with library_errors(what, (directory.directory, directory.directory)):
        model = EncodingModel(description, architecture)
        attach_weights(model, description, architecture)
        on_cpu = dtype == "auto" and device == "cpu"
        cast_weights(model, "float32" if on_cpu else dtype, dequantize=on_cpu)
        install_activations(model)
    tokenizer = open_tokenizer(directory)
    _settle_answers(model, description, tokenizer)
    found = type_name(floating_type(model))
    return OpenedEncoder(model, description, context, tokenizer, weight_bytes(model), device, found)


def _settle_answers(model: EncodingModel, description: EncodingDescription, tokenizer: OpenTokenizer) -> None:
    """Finds the tokens of a model that scores by those."""
    scoring = description.scoring
    if scoring is not None and scoring.kind is ScoreKind.TOKENS:
        ids = [None if token is None else token_id(tokenizer, description, token) for token in (scoring.true, scoring.false)]
        for token in ids:
            if token is not None and token >= model.encoder.vocab_size:
                raise ModelSourceError(f"{description.directory.directory}: the token {token} ({scoring.origin}) is beyond the vocabulary")
        assert ids[0] is not None  # noqa: S101 - there is always one
        model.answer_by(ids[0], ids[1])


def read_encoder(opened: OpenedEncoder) -> LoadedEncoder:
    """Reads the weights into memory, cast and dequantized; then the model shows what it makes of texts, alone and beside others.

    Raises ``ModelSourceError`` where a weight, or what is made of a text, is not a number, or not what the files say.
    """
    description, directory = opened.description, opened.directory.directory
    with library_errors(f"{directory} cannot be read", (directory, directory)):
        read_parameters(opened.model)
        check_weights(opened.model, opened.dtype, directory)
        vocab_size = opened.model.encoder.vocab_size
        inputs = input_encoder(opened.tokenizer, description, most_tokens=opened.context.length, vocab_size=vocab_size)
        width = prove_encoder(opened.model, description, opened.dtype, most_tokens=opened.context.length)
    return LoadedEncoder(
        opened.model,
        inputs,
        opened.tokenizer,
        opened.context.length,
        vocab_size,
        opened.weight_bytes,
        opened.device,
        opened.dtype,
        _facts(opened, width),
        _warnings(opened, vocab_size),
    )


def _facts(opened: OpenedEncoder, width: int) -> EncodingFacts:
    description, context = opened.description, opened.context
    pooling, scoring = description.pooling, description.scoring
    embeds = description.task is Task.EMBED
    return EncodingFacts(
        most_tokens=context.length,
        most_tokens_origin=context.origin,
        dimension=width if embeds else None,
        least_dimension=min(description.least_dimension, width) if embeds and description.least_dimension else None,
        pooling=pooling.name if pooling else "",
        pooling_origin=pooling.origin if pooling else "",
        normalized=embeds and description.path.normalized,
        prompts=dict(description.prompts),
        default_prompt=description.default_prompt or "",
        scores="" if scoring is None else "sigmoid" if scoring.sigmoid else "logit",
        scores_origin=scoring.origin if scoring else "",
    )


def _warnings(opened: OpenedEncoder, vocab_size: int) -> tuple[str, ...]:
    found = [*opened.description.warnings]
    if opened.context.warning:
        found.append(opened.context.warning)
    known = max(opened.tokenizer.vocabulary.values(), default=-1) + 1
    if known > vocab_size:
        found.append(
            f"the tokenizer knows tokens up to {known - 1}, the model has {vocab_size}: texts that hold one of the others are refused"
        )
    return tuple(found)
