"""The way from a model directory to a model in memory, on the device that is really there."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_map_with_path
from mlx_lm.utils import dequantize_model
from mlx_lm.utils import load_model as load_text_model

from mlxd.wire.model_facts import ModelFacts
from mlxd.worker.facts.context import Context
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.settle import settle
from mlxd.worker.facts.view import model_view
from mlxd.worker.runtime.device import detect_device
from mlxd.worker.runtime.first_logits import check_weights, first_logits
from mlxd.worker.runtime.library_errors import check_flags, configuration_causes, library_errors
from mlxd.worker.runtime.parameters import floating_type, read_parameters, type_name, weight_bytes
from mlxd.worker.runtime.tokenizing import OpenTokenizer, open_tokenizer
from mlxd.worker.runtime.vision.library import ModelLibrary
from mlxd.worker.runtime.x86 import install_activations
from mlxd.worker.text.conversation import ChatFormat
from mlxd.worker.text.shapes import AS_SHOWN, Shapes, WishedShapes

DTYPES = {"float32": mx.float32, "bfloat16": mx.bfloat16, "float16": mx.float16}


@dataclass(frozen=True)
class OpenedModel:
    """A model whose weights are not in memory yet."""

    model: Any  # of mlx-lm, or with its interface
    library: ModelLibrary
    directory: DirectoryFacts
    context: Context
    tokenizer: OpenTokenizer
    weight_bytes: int
    device: str  # "cpu" | "gpu"
    dtype: str  # of the first floating-point weight


@dataclass(frozen=True)
class LoadedModel:
    """Everything a runner needs. ``vocab_size`` is the width of its logits."""

    model: Any  # of mlx-lm, or with its interface
    tokenizer: Any  # mlx-lm's TokenizerWrapper
    end_tokens: frozenset[int]
    context_length: int
    vocab_size: int
    weight_bytes: int
    device: str  # "cpu" | "gpu"
    dtype: str  # of the first floating-point weight
    chat: ChatFormat | None = None  # None: without a chat template
    directory: Path | None = None  # None: it was read from none
    facts: ModelFacts = field(default_factory=ModelFacts)


def load(path: Path, *, dtype: str, context_limit: int | None) -> LoadedModel:
    """Returns the model in ``path``, opened and read as by ``open_model`` and ``read_weights``."""
    return read_weights(open_model(path, dtype=dtype, context_limit=context_limit))


def open_model(path: Path, *, dtype: str, context_limit: int | None, wished: WishedShapes = AS_SHOWN) -> OpenedModel:
    """Finds out everything about the model, but leaves its weights out of memory. ``dtype`` "auto" means as stored on a GPU, and on a CPU
    dequantized to float32, where anything else is unusably slow. ``context_limit`` is the context that is wished for, and
    ``wished`` are shapes of answers that an operator has set.

    Raises ``ModelSourceError`` for a directory that its library cannot load, and ``ConfigError`` for a context it cannot have.
    """
    return open_directory(DirectoryFacts.read(path), dtype=dtype, context_limit=context_limit, wished=wished)


def open_directory(facts: DirectoryFacts, *, dtype: str, context_limit: int | None, wished: WishedShapes = AS_SHOWN) -> OpenedModel:
    """Opens the model as ``open_model`` does, from what its directory says."""
    context = facts.context.wished(context_limit)
    device = detect_device()
    check_flags(facts.config)
    library = ModelLibrary.of(facts.config)
    with model_view(facts) as view, _errors(facts, library, view):
        model, library = _lazy(library, facts, view)
        cast_weights(model, dtype if dtype != "auto" or device == "gpu" else "float32", dequantize=dtype == "auto" and device == "cpu")
        install_activations(model)
    tokenizer = open_tokenizer(facts, wished)
    found = type_name(floating_type(model))
    return OpenedModel(model, library, facts, context, tokenizer, weight_bytes(model), device, found)


def read_weights(opened: OpenedModel) -> LoadedModel:
    """Reads the weights into memory, cast and dequantized; then the model shows its first logits, which say how many tokens it knows.

    Raises ``ModelSourceError`` where a weight or a logit is not a number.
    """
    directory = opened.directory
    with _errors(directory, opened.library, directory.directory):
        read_parameters(opened.model)
        check_weights(opened.model, opened.dtype, directory.directory)
        vocab_size = first_logits(opened.model, opened.tokenizer.greeting, opened.dtype, directory.config)
    settled = settle(opened.tokenizer.end_tokens, opened.tokenizer.vocabulary.values(), vocab_size)
    shapes = opened.tokenizer.chat.shapes if opened.tokenizer.chat else Shapes()
    return LoadedModel(
        model=opened.model,
        tokenizer=opened.tokenizer.tokenizer,
        end_tokens=frozenset(token.id for token in settled.usable),
        context_length=opened.context.length,
        vocab_size=vocab_size,
        weight_bytes=opened.weight_bytes,
        device=opened.device,
        dtype=opened.dtype,
        chat=opened.tokenizer.chat,
        directory=directory.directory,
        facts=ModelFacts(
            context_origin=opened.context.origin,
            vocabulary_origin="the width of the model's logits",
            end_tokens=settled.usable,
            chat_template=opened.tokenizer.template_origin,
            weight_files=list(directory.weights.files),
            weights_origin=directory.weights.origin,
            library=opened.library.name,
            library_origin=opened.library.origin,
            sight=opened.library.warning or "",
            tools=shapes.tools,
            tools_origin=shapes.tools_origin,
            reasoning=shapes.reasoning,
            reasoning_origin=shapes.reasoning_origin,
            warnings=[*_doubts(opened, vocab_size), *opened.tokenizer.warnings, *settled.warnings],
        ),
    )


def _doubts(opened: OpenedModel, vocab_size: int) -> Iterator[str]:
    if opened.context.warning:
        yield opened.context.warning
    if opened.library.warning:
        yield opened.library.warning
    if ignored := opened.directory.weights.ignored:
        yield f"beside the weights, {', '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} not read"
    if any(token >= vocab_size for token in opened.tokenizer.greeting):
        yield f"the chat template writes tokens beyond the model's vocabulary of {vocab_size}: chat requests are refused"


def _errors(facts: DirectoryFacts, library: ModelLibrary, view: Path) -> AbstractContextManager[None]:
    what = f"{facts.directory} cannot be loaded as an {library.name} model"
    return library_errors(what, (view, facts.directory), lambda: _causes(facts, library))


def _causes(facts: DirectoryFacts, library: ModelLibrary) -> str:
    """Tells what may be wrong. What the configuration should have, only mlx-lm's classes are known to say."""
    if library.name != "mlx-lm":
        return ""
    return "; ".join(filter(None, [configuration_causes(facts.config), library.warning]))


def _lazy(library: ModelLibrary, facts: DirectoryFacts, view: Path) -> tuple[Any, ModelLibrary]:
    """Returns the model in a directory, its weights not read yet, and whose it is: mlx-lm's, too, where mlx-vlm cannot load it."""
    if library.name == "mlx-lm":
        return load_text_model(view, lazy=True)[0], library
    try:
        from mlxd.worker.runtime.vision.loading import load_seeing_model  # noqa: PLC0415 - nothing of mlx-vlm for models of text

        return load_seeing_model(view, facts.config.values), library
    except Exception as error:
        with suppress(Exception):
            return load_text_model(view, lazy=True)[0], library.instead(error)
        raise


def cast_weights(model: Any, dtype: str, *, dequantize: bool) -> None:
    """Casts a model's weights, but for those of ``dtype`` "auto", then dequantizes: scales are cast before they are used, so that nothing
    is rounded to the type they were stored in.
    """
    if dtype in DTYPES:
        wanted = getattr(model, "cast_predicate", lambda _: True)  # some models keep parameters in float32

        def cast(name: str, value: mx.array) -> mx.array:
            return value.astype(DTYPES[dtype]) if mx.issubdtype(value.dtype, mx.floating) and wanted(name) else value

        model.update(tree_map_with_path(cast, model.parameters()))
    if dequantize:
        dequantize_model(model)
