"""The way from a directory to a model that has made vectors, or scores."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version

from mlxd.footprint import footprint
from mlxd.types import LoadStage, ResolvedLimits, RunnerKind, Task
from mlxd.wire.jobs import TEXT_FIELDS
from mlxd.wire.messages import Load, NeedsMemory, Ready
from mlxd.wire.model_facts import ModelFacts
from mlxd.wire.prompts import TextPrompt
from mlxd.worker.encoded_input import EncodedInput
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.engine.encoding.runner import EncodingRunner
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.encoding.task import FoundTask
from mlxd.worker.runtime.blas import leave_cores
from mlxd.worker.runtime.device import MlxMemory, working_set
from mlxd.worker.runtime.encoding.loading import LoadedEncoder, OpenedEncoder, open_encoder, read_encoder
from mlxd.worker.runtime.encoding.mlx_encoder import MlxEncoder
from mlxd.worker.runtime.encoding.warm_up import warm_up
from mlxd.worker.runtime.encoding.workspace import BESIDE, workspace_of
from mlxd.worker.runtime.tokenizing import OpenTokenizer, decoder
from mlxd.worker.servable import ServableEncoder
from mlxd.worker.text.logprobs import TokenTexts
from mlxd.worker.text.prompt import PromptEncoder
from mlxd.worker.text.token_kinds import token_kinds

_log = logging.getLogger(__name__)

_BUFFERS = 64 * 2**20  # bytes: what MLX keeps to use again; batches of all lengths would leave it as much as it may keep


def start_encoder(  # noqa: PLR0913 - what is known of a load by then
    order: Load,
    limits: ResolvedLimits,
    directory: DirectoryFacts,
    found: FoundTask,
    *,
    began: float,
    progress: Callable[[LoadStage, int, int], None],
    permit: Callable[[NeedsMemory], int],
) -> ServableEncoder:
    """Loads the model in ``directory``, and encodes some texts, on the calling thread, which from then on owns the model. ``began`` is when
    that was asked for, in monotonic seconds; all else is as ``start_model`` has it.

    Raises ``ModelSourceError`` (the message names the file), and whatever MLX raises.
    """
    opened = open_encoder(directory, found.task, dtype=order.dtype, context_limit=order.context_length)
    workspace = workspace_of(directory.config, opened.context.length, opened.dtype)
    needs = _needs(opened, workspace.size)
    permit(needs)
    memory = MlxMemory(_BUFFERS if opened.device == "cpu" else needs.transients)  # a GPU's are dear to make
    leave_cores()
    loaded = read_encoder(opened)
    progress(LoadStage.WARMING, 0, 0)
    runner = EncodingRunner(MlxEncoder(loaded, found.task), workspace, limits, param=TEXT_FIELDS[found.task])
    warm_up(runner, partial(_text, loaded, found.task), directory.directory)
    prompts = _prompts(order, loaded)
    ready = _ready(order, limits, directory, loaded, found=found, prompts=prompts, seconds=time.monotonic() - began)
    for warning in ready.facts.warnings:
        _log.warning("%s: %s", order.model, warning)
    memory.hold_to(limits)
    return ServableEncoder(runner, memory, loaded.inputs, prompts, _token_texts(loaded.tokenizer), ready)


def _ready(  # noqa: PLR0913 - all that is told of a loaded model
    order: Load,
    limits: ResolvedLimits,
    directory: DirectoryFacts,
    loaded: LoadedEncoder,
    *,
    found: FoundTask,
    prompts: PromptEncoder,
    seconds: float,
) -> Ready:
    """Returns what the daemon is told of the model, which has been loaded in so many ``seconds``."""
    return Ready(
        runner=RunnerKind.ENCODER,
        runner_reason=f"{found.origin}; what cache, speculation, sampling, input and output say is of models that generate",
        limits=limits,
        device=loaded.device,
        dtype=loaded.dtype,
        context_length=loaded.context_length,
        bounds=prompts.bounds,
        vocab_size=loaded.vocab_size,
        weight_bytes=loaded.weight_bytes,
        load_seconds=seconds,
        versions={"mlx": version("mlx"), "mlx_lm": version("mlx-lm")},
        facts=ModelFacts(
            context_origin=loaded.facts.most_tokens_origin,
            weight_files=list(directory.weights.files),
            weights_origin=directory.weights.origin,
            library="mlxd",
            warnings=[*loaded.warnings, *_unused(order)],
        ),
        tasks=(found.task,),
        encoding=loaded.facts,
    )


def _prompts(order: Load, loaded: LoadedEncoder) -> PromptEncoder:
    """Returns what tells of texts which tokens they are."""
    root = CacheRoot(model=order.source)
    return PromptEncoder(loaded.tokenizer.tokenizer, None, root=root, vocab_size=loaded.vocab_size, context_length=loaded.context_length)


def _token_texts(opened: OpenTokenizer) -> TokenTexts:
    return TokenTexts(decoder(opened.tokenizer), token_kinds(opened.tokenizer))


def _needs(opened: OpenedEncoder, workspace: int) -> NeedsMemory:
    weights = opened.weight_bytes
    transients = _BUFFERS + BESIDE + workspace
    return NeedsMemory(weights=weights, cache=0, transients=transients, process=footprint(os.getpid()), device=working_set(opened.device))


def _text(loaded: LoadedEncoder, task: Task, words: int) -> EncodedInput:
    """Returns a text of so many words, cut where that is more than the model takes."""
    text, param = " ".join(["a"] * words), TEXT_FIELDS[task]
    if task is Task.RERANK:
        return loaded.inputs.pair("a", text, instruction=None, truncate=True, param=param)
    return loaded.inputs.embed(TextPrompt(text=text), truncate=True, param=param)


def _unused(order: Load) -> Iterator[str]:
    """Yields what of the configuration costs others something, and does nothing here."""
    if order.draft is not None:
        yield "speculation.draft is not used: the model does not generate"
