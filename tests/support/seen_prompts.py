"""The cases of tiny vision models as prompts of the worker: conversations, through the model's own processor."""

from mlxd.worker.runtime import start  # noqa: F401, I001 - first of all: OpenBLAS has to be in the process before MLX

from functools import cache

from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.runtime.loading import load
from mlxd.worker.runtime.vision.processing import open_processor
from mlxd.worker.text.prompt import PromptEncoder
from mlxd.worker.text.seen import Seen
from tests.support.vision_conversations import prompt_of
from tests.support.vision_references import checkpoint, references


def new_model(architecture):
    """A model that nobody else has: its layers may be changed."""
    return load(checkpoint(architecture), dtype="auto", context_limit=None)


@cache
def loaded_model(architecture):
    return new_model(architecture)


@cache
def encoder_of(architecture):
    loaded = loaded_model(architecture)
    processor = open_processor(checkpoint(architecture), loaded.tokenizer.get_vocab(), loaded.context_length)
    root = CacheRoot(model=architecture)
    return PromptEncoder(
        loaded.tokenizer, loaded.chat, vocab_size=loaded.vocab_size, context_length=loaded.context_length, root=root, media=processor
    )


@cache
def case_names(architecture):
    return list(references(architecture))


@cache
def seen_prompt(architecture, case, max_tokens=8):
    """The case as an encoded prompt, whose tokens are those of the reference."""
    known = references(architecture)[case]
    encoder = encoder_of(architecture)
    prompt = prompt_of(known)
    pairs = [(media, encoder.media.process(media)) for message in prompt.messages for media in message.media]
    encoded = encoder.encode(prompt, max_tokens, Seen(pairs))
    assert encoded.tokens == known.tokens
    return encoded
