"""The cases of tiny vision models as prompts of the worker: conversations, through the model's own processor."""

import io
from functools import cache

from PIL import Image

from mlxd.media_terms import Media, MediaKind
from mlxd.types import ChatMessage
from mlxd.wire.prompts import ChatPrompt
from mlxd.worker.encoded_prompt import CacheRoot
from mlxd.worker.runtime.loading import load
from mlxd.worker.runtime.vision.processing import open_processor
from mlxd.worker.text.prompt import PromptEncoder
from mlxd.worker.text.seen import Seen
from tests.support.vision_references import FRAME, PICTURES, checkpoint, references


@cache
def loaded_model(architecture):
    return load(checkpoint(architecture), dtype="auto", context_limit=None)


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
    messages = [_message(message) for message in known.messages]
    pairs = [(media, encoder.media.process(media)) for message in messages for media in message.media]
    encoded = encoder.encode(ChatPrompt(messages=messages), max_tokens, Seen(pairs))
    assert encoded.tokens == known.tokens
    return encoded


def _message(message):
    text, media = "", []
    for part in message["content"]:
        if part["type"] == "text":
            text += part["text"]
        else:
            media.append(Media(kind=MediaKind(part["type"]), files=_files(part), at=len(text), fps=part.get("fps")))
    return ChatMessage(role=message["role"], content=text, media=media)


def _files(part):
    """A picture's file, or those of a film's frames, which lie below each other in one."""
    path = PICTURES / f"{part['picture']}.png"
    if part["type"] == "image":
        return [path.read_bytes()]
    height, width = FRAME
    with Image.open(path) as whole:
        return [_file(whole.crop((0, at * height, width, (at + 1) * height))) for at in range(part["frames"])]


def _file(picture):
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()
