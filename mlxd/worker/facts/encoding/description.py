"""All that a model's files say of how texts become vectors or scores."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from mlxd.errors import ModelSourceError
from mlxd.types import Task
from mlxd.worker.facts.context import Context
from mlxd.worker.facts.directory import DirectoryFacts
from mlxd.worker.facts.encoding import scoring
from mlxd.worker.facts.encoding.layers import VectorPath, merged_layers, read_vector_path
from mlxd.worker.facts.encoding.longest import find_longest
from mlxd.worker.facts.encoding.modules import FILE, Module, ModuleKind, read_modules
from mlxd.worker.facts.encoding.pooling import Pooling, PoolingMode, read_pooling
from mlxd.worker.facts.encoding.scoring import JUDGES, Scoring
from mlxd.worker.facts.encoding.task import CLASSIFIES, ENCODERS, LIBRARY_FILE, architecture_of
from mlxd.worker.facts.encoding.values import flag, size
from mlxd.worker.facts.json_document import JsonDocument, is_there, shown
from mlxd.worker.facts.safetensors_file import read_tensors

_SETTINGS = "sentence_{}_config.json"  # as sentence-transformers has called it after the kind of model
_KINDS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
_LEAST = {"qwen3": 32, "gemma3_text": 128}  # dimensions that the authors of Qwen3-Embedding and EmbeddingGemma name as the least


@dataclass(frozen=True)
class EncodingDescription:
    """How the texts of a model become vectors, which are pooled and go a ``path``, or scores: then there is a ``scoring``.

    ``context`` says how many tokens a text may have; texts are put in lower case first where ``lower_case`` is set.
    """

    directory: DirectoryFacts
    task: Task
    context: Context
    pooling: Pooling | None = None
    path: VectorPath = field(default_factory=VectorPath)
    scoring: Scoring | None = None
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None  # the name of the one that goes before texts where a request names none
    least_dimension: int | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def read(cls, directory: DirectoryFacts, task: Task) -> Self:
        """Reads what the files say of a model that is to do the ``task``. Raises ``ModelSourceError`` that names file and key."""
        modules = read_modules(directory.directory)
        settings = _settings(directory)
        library = JsonDocument.read_if_there(directory.directory / LIBRARY_FILE)
        pooling, path = _vectors(directory, modules, task)
        scores = _scoring(directory, modules, library, path) if task is Task.RERANK else None
        if task is Task.EMBED and path.gives_scores:
            raise ModelSourceError(f"{directory.directory / FILE}: the modules give scores, and no vectors; set task to {Task.RERANK}")
        prompts = _prompts(library)
        default = _default_prompt(library, prompts)
        return cls(
            directory,
            task,
            find_longest(directory, settings),
            pooling,
            path,
            scores,
            flag(settings, "do_lower_case", default=False),
            prompts,
            default if task is Task.EMBED else None,
            _least_dimension(directory.config) if task is Task.EMBED else None,
            tuple(_warnings(directory, modules, prompts.get(default or "") if task is Task.RERANK else None)),
        )


def _settings(directory: DirectoryFacts) -> JsonDocument:
    paths = [directory.directory / _SETTINGS.format(kind) for kind in _KINDS]
    return JsonDocument.read_if_there(next((path for path in paths if is_there(path)), paths[0]))


def _vectors(directory: DirectoryFacts, modules: tuple[Module, ...], task: Task) -> tuple[Pooling | None, VectorPath]:
    at = next((number for number, module in enumerate(modules) if module.kind is ModuleKind.POOLING), None)
    if at is not None:
        if at != 1:
            raise ModelSourceError(f"{directory.directory / FILE}: the pooling is module {at}; expected right behind the model")
        pooling = read_pooling(modules[at].settings(), modules[at].name)
        return pooling, read_vector_path(modules[at + 1 :], directory.weights.tensors)
    if task is Task.RERANK:
        return None, VectorPath()
    if len(modules) > 1 and modules[1].kind is not ModuleKind.NORMALIZE:
        raise ModelSourceError(f"{directory.directory / FILE}: there is no pooling before {modules[1].kind}")
    return _unsaid(directory, is_normalized=len(modules) > 1)


def _unsaid(directory: DirectoryFacts, *, is_normalized: bool) -> tuple[Pooling, VectorPath]:
    """Returns what sentence-transformers does where no file says how to pool: the last token of a model that generates, else the mean.

    Where linear layers are among the weights, it is EmbeddingGemma, as converters write it, whose vectors have the length 1.
    """
    tensors = [one for file in directory.weights.files for one in read_tensors(directory.directory / file).values()]
    rows = {one.name: one.shape[0] for one in tensors if one.shape}
    merged = tuple(merged_layers(rows, size(directory.config, "hidden_size"))) if "dense.0.weight" in rows else ()
    if merged:
        origin = 'the weights have "dense.0.weight", as those of EmbeddingGemma'
        return Pooling((PoolingMode.MEAN,), origin), VectorPath(merged, normalized=True)
    config = directory.config
    is_causal = config.get("model_type") not in ENCODERS and config.get("use_bidirectional_attention") is not True
    mode = PoolingMode.LAST_TOKEN if is_causal and config.get("is_causal") is not False else PoolingMode.MEAN
    return Pooling((mode,), f"no file says how; {FILE} is missing"), VectorPath(normalized=is_normalized)


def _scoring(directory: DirectoryFacts, modules: tuple[Module, ...], library: JsonDocument, path: VectorPath) -> Scoring:
    config = directory.config
    if _generates(config) and config.get("model_type") != JUDGES:
        raise config.wrong("model_type", f"{JUDGES}: what other models that generate are asked about a pair is not known here")
    if path.layers:
        return scoring.of_layers(config, library, path.width(0))
    for module in modules:
        if module.kind is ModuleKind.LOGIT_SCORE:
            return scoring.of_module(module, config, library)
    if architecture_of(config).endswith(CLASSIFIES) and ("score.weight" in directory.weights.tensors or not _generates(config)):
        return scoring.of_head(config, library)
    if config.get("classifier_from_token") is not None:
        return scoring.of_classifier_tokens(config)
    if _generates(config):
        return scoring.of_yes_and_no()
    raise config.wrong("architectures", f"a name that ends in {CLASSIFIES}: this model has no classifier, and cannot score")


def _generates(config: JsonDocument) -> bool:
    return config.get("model_type") not in ENCODERS


def _prompts(library: JsonDocument) -> dict[str, str]:
    prompts = library.part("prompts")
    if prompts is None:
        return {}
    return {name: text for name in prompts.values if (text := prompts.text(name)) is not None}


def _least_dimension(config: JsonDocument) -> int | None:
    """Returns the least number of dimensions to which vectors may be shortened; None where nothing says that they may."""
    named = [*config.whole_numbers("matryoshka_dimensions")]
    if named:
        if min(named) < 1:
            raise config.wrong("matryoshka_dimensions", "whole numbers above zero")
        return min(named)
    if flag(config, "is_matryoshka", default=False):
        return 1
    return _LEAST.get(str(config.get("model_type")))


def _default_prompt(library: JsonDocument, prompts: Mapping[str, str]) -> str | None:
    name = library.text("default_prompt_name")
    if name is not None and name not in prompts:
        raise library.wrong("default_prompt_name", "the name of one of its prompts")
    return name


def _warnings(directory: DirectoryFacts, modules: tuple[Module, ...], unused: str | None) -> Iterator[str]:
    if not modules and directory.weights.ignored:
        yield f"beside the weights, {', '.join(directory.weights.ignored)} are not read"
    if unused:
        yield f'{LIBRARY_FILE} "default_prompt_name" names the prompt {shown(unused)}: no prompt goes before pairs that are scored'
