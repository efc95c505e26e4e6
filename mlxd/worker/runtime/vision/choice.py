"""What becomes of pictures and films, of a model that could see: found out at load, and said. Whatever it is, the model serves text."""

import logging
from dataclasses import dataclass

from mlxd.errors import MlxdError
from mlxd.media_terms import MediaKind
from mlxd.types import Ability
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt
from mlxd.worker.runtime.library_errors import in_a_line
from mlxd.worker.runtime.loading import LoadedModel
from mlxd.worker.runtime.paged.manner import Manner
from mlxd.worker.runtime.paged.model import PagedModel
from mlxd.worker.runtime.proof import ROUNDED, Tolerance
from mlxd.worker.runtime.vision.encoder import Encoder
from mlxd.worker.runtime.vision.seeing_model import SeeingModel
from mlxd.worker.text.media_processor import MediaProcessor
from mlxd.worker.text.prompt import PromptEncoder

_ABILITIES = {MediaKind.IMAGE: Ability.IMAGES, MediaKind.VIDEO: Ability.VIDEOS}
_WORDS = {Ability.IMAGES: "pictures", Ability.VIDEOS: "films"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SightChoice:
    """The ``encoder`` and the ``processor`` of a model that sees; None where it does not, and ``told`` says why. It is empty for a model
    that never could.
    """

    told: str = ""
    abilities: frozenset[Ability] = frozenset()
    encoder: Encoder | None = None
    processor: MediaProcessor | None = None


BLIND = SightChoice()


class _NotSeeingError(MlxdError):
    """The model's pictures are not served; the message says why."""

    code = "not_seeing"


def choose_sight(loaded: LoadedModel, model: PagedModel | None = None) -> SightChoice:
    """Returns what ``model`` sees, whose arenas hold anything then; None where it is not served over a paged cache."""
    if not isinstance(loaded.model, SeeingModel):
        return BLIND
    try:
        found = _proved(loaded, model)
    except _NotSeeingError as error:
        found = SightChoice(f"no pictures are served: {error.message}")
        _log.warning("%s", found.told)
    else:
        _log.info("%s", found.told)
    return found


def _proved(loaded: LoadedModel, model: PagedModel | None) -> SightChoice:
    if model is None or model.sight is None:
        raise _NotSeeingError('they are over a paged cache only (batching.mode = "continuous"), which the model is not served from')
    if model.manner is not Manner.IN_PLACE:
        raise _NotSeeingError(f"over the paged cache {model.manner.told}")
    processor = _processor(loaded)
    root = CacheRoot(model="probe")
    sizes = {"vocab_size": loaded.vocab_size, "context_length": loaded.context_length}
    prompts = PromptEncoder(loaded.tokenizer, loaded.chat, root=root, media=processor, **sizes)
    if MediaKind.IMAGE not in prompts.sees:
        raise _NotSeeingError("the chat template shows none" if loaded.chat else "it has no chat template")
    encoder = Encoder(loaded.model, model.sight)
    _prove(loaded, model, encoder, _prompt(prompts, processor))
    abilities = frozenset(_ABILITIES[kind] for kind in prompts.sees)
    words = " and ".join(_WORDS[one] for one in sorted(abilities))
    return SightChoice(f"{words} are served: logits of one were proved", abilities, encoder, processor)


def _processor(loaded: LoadedModel) -> MediaProcessor:
    try:
        from mlxd.worker.runtime.vision.families.family import CannotSeeError  # noqa: PLC0415 - they need what the extra brings
        from mlxd.worker.runtime.vision.processing import open_processor  # noqa: PLC0415
    except ImportError as error:
        raise _NotSeeingError(f"{error.name} cannot be imported") from error
    if loaded.directory is None:
        raise _NotSeeingError("it was read from no directory, where its processor's files could be")
    try:
        return open_processor(loaded.directory, loaded.tokenizer.get_vocab(), loaded.context_length)
    except CannotSeeError as error:
        raise _NotSeeingError(str(error)) from error
    except Exception as error:
        raise _NotSeeingError(_told(error)) from error


def _prompt(prompts: PromptEncoder, processor: MediaProcessor) -> EncodedPrompt:
    from mlxd.worker.runtime.vision.probe import seen_prompt  # noqa: PLC0415 - as above

    try:
        return seen_prompt(prompts, processor)
    except Exception as error:
        raise _NotSeeingError(f"a made-up one could not be shown ({_told(error)})") from error


def _prove(loaded: LoadedModel, model: PagedModel, encoder: Encoder, prompt: EncodedPrompt) -> None:
    from mlxd.worker.runtime.vision.probe import difference_of  # noqa: PLC0415 - as above

    longest = max((len(span) for span in prompt.media if span.mutual), default=0)
    if any(window < longest for window in model.windows):
        raise _NotSeeingError(f"one has {longest} tokens that see each other, more than a window of {min(model.windows)} shows")
    try:
        found = difference_of(loaded, model, encoder, prompt)
    except Exception as error:
        raise _NotSeeingError(f"the logits of one could not be computed ({in_a_line(error)})") from error
    if not Tolerance(loaded, least=ROUNDED if model.kv_type else 0.0).allows(found):
        raise _NotSeeingError(f"the logits of one differ from mlx-vlm's own by {found:.2g} standard deviations")


def _told(error: Exception) -> str:
    """Says what was raised, be it by a library whose own fault it is."""
    return error.message if isinstance(error, MlxdError) else in_a_line(error)
