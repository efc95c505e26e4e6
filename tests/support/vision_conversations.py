"""The cases of the tiny vision models as requests have them, and what their own processors make of these."""

import io
from functools import cache
from typing import Any

import numpy as np
from mlx_lm.utils import load_tokenizer
from PIL import Image

from mlxd.media_terms import Media, MediaKind
from mlxd.types import ChatMessage
from mlxd.wire.prompts import ChatPrompt
from mlxd.worker.encoded_prompt import CacheRoot, EncodedPrompt, Tensor
from mlxd.worker.runtime.vision.processing import ModelProcessor, open_processor
from mlxd.worker.text.chat_template import ChatTemplate
from mlxd.worker.text.conversation import ChatFormat
from mlxd.worker.text.prompt import PromptEncoder
from mlxd.worker.text.seen import Seen, distinct
from tests.support.vision_references import FRAME, PICTURES, VisionReference, checkpoint

CONTEXT = 4096


@cache
def processor_of(architecture: str) -> ModelProcessor:
    return open_processor(checkpoint(architecture), load_tokenizer(checkpoint(architecture)).get_vocab(), CONTEXT)


@cache
def encoder_of(architecture: str) -> PromptEncoder:
    tokenizer: Any = load_tokenizer(checkpoint(architecture))
    template = (checkpoint(architecture) / "chat_template.jinja").read_text()
    chat = ChatFormat.of(ChatTemplate(template, "chat_template.jinja", tokenizer.special_tokens_map))
    size = max(tokenizer.get_vocab().values()) + 1
    root = CacheRoot(model=architecture)
    return PromptEncoder(tokenizer, chat, vocab_size=size, context_length=CONTEXT, root=root, media=processor_of(architecture))


def prompt_of(reference: VisionReference) -> ChatPrompt:
    return ChatPrompt(messages=[_message(message) for message in reference.messages])


def seen_of(prompt: ChatPrompt, processor: ModelProcessor) -> Seen:
    media = distinct(one for message in prompt.messages for one in message.media)
    return Seen((one, processor.process(one)) for one in media)


def encoded(reference: VisionReference, architecture: str) -> EncodedPrompt:
    prompt = prompt_of(reference)
    return encoder_of(architecture).encode(prompt, None, seen_of(prompt, processor_of(architecture)))


def array(tensor: Tensor) -> np.ndarray:
    return np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)


def shown(part: dict[str, Any], at: int = 0) -> Media:
    """Returns what a part of a case shows: of a film its frames, as pictures."""
    file = PICTURES / f"{part['picture']}.png"
    if part["type"] == "image":
        return Media(kind=MediaKind.IMAGE, files=[file.read_bytes()], at=at)
    with Image.open(file) as strip:
        frames = np.asarray(strip.convert("RGB")).reshape(-1, *FRAME, 3)[: part["frames"]]
    return Media(kind=MediaKind.VIDEO, files=[_png(frame) for frame in frames], fps=part["fps"], at=at)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _message(message: dict[str, Any]) -> ChatMessage:
    text, media = "", []
    for part in message["content"]:
        if part["type"] == "text":
            text += part["text"]
        else:
            media.append(shown(part, len(text)))
    return ChatMessage(role=message["role"], content=text, media=media)


def decoded(architecture: str, tokens: list[int]) -> str:
    """Returns what an answer of such tokens says, up to one that ends it."""
    tokenizer: Any = load_tokenizer(checkpoint(architecture))
    ends = [at for at, token in enumerate(tokens) if token in tokenizer.eos_token_ids]
    text: str = tokenizer.decode(tokens[: ends[0]] if ends else tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text
