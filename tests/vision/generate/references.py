"""What transformers makes of each case: tokens, pixels, and the logits of its own model."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoProcessor
from transformers.video_utils import VideoMetadata

from tests.support.vision_references import kept_tokens, sampled
from tests.vision.generate.cases import Case
from tests.vision.generate.pictures import load_frames, load_picture

CONTINUED = 8  # tokens, each the likeliest after those before
SUREST = 0.01  # the least by which a token of the continuation beats the next


@dataclass(frozen=True)
class Reference:
    """What is kept of a case: a line of text, and arrays by name."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]


class UnclearContinuationError(Exception):
    """Two tokens are about as likely and rounding would decide, or what is likeliest is not to be said: another seed is needed."""


def read_processor(directory: Path) -> Any:
    processor = AutoProcessor.from_pretrained(directory)
    processor.image_processor = AutoImageProcessor.from_pretrained(directory, backend="pil")
    return processor


def refer(case: Case, model: Any, processor: Any, pictures: Path) -> Reference:
    prompt = processor.apply_chat_template(list(case.messages), add_generation_prompt=True, tokenize=False)
    inputs = _inputs(case, prompt, processor, pictures)
    tokens = inputs["input_ids"][0].tolist()
    with _watched(_language_model(model)) as seen:
        greedy, logits = _continue(model, inputs)
    margins = _margins(logits[len(tokens) - 1 :])
    if min(margins) < SUREST or set(greedy) & _ends(model):
        raise UnclearContinuationError(f"{case.name}: {greedy}, {margins}")
    facts = {
        "name": case.name,
        "messages": list(case.messages),
        "prompt": prompt,
        "tokens": tokens,
        "greedy": greedy,
        "margin": round(min(margins), 4),
        "grids": {name: value.tolist() for name, value in inputs.items() if name in GRIDS},
        "shapes": {name: list(value.shape) for name, value in inputs.items() if name in PIXELS},
    }
    return Reference(facts, _kept(model, inputs, seen, logits, len(tokens)))


GRIDS = ("image_grid_thw", "video_grid_thw", "image_sizes", "second_per_grid_ts")
PIXELS = ("pixel_values", "pixel_values_videos", "pixel_attention_mask")


def _inputs(case: Case, prompt: str, processor: Any, pictures: Path) -> dict[str, Any]:
    media: dict[str, Any] = {}
    if images := [load_picture(pictures, part["picture"]) for part in case.parts("image")]:
        media["images"] = images
    if clips := list(case.parts("video")):
        media["videos"] = [load_frames(pictures, part["frames"]) for part in clips]
        media["video_metadata"] = [
            VideoMetadata(total_num_frames=part["frames"], fps=part["fps"], frames_indices=list(range(part["frames"]))) for part in clips
        ]
        media["do_sample_frames"] = False
    first = processor.tokenizer.bos_token
    adds = not (first and prompt.startswith(first))
    inputs = processor(text=[prompt], add_special_tokens=adds, return_tensors="pt", **media)
    return {name: torch.as_tensor(value) if isinstance(value, list) else value for name, value in inputs.items()}


def _continue(model: Any, inputs: dict[str, Any]) -> tuple[list[int], np.ndarray]:
    """Returns the likeliest continuation, and the logits of every position but the last token's own: all computed at once, no cache."""
    prompt = inputs["input_ids"].shape[1]
    for _ in range(CONTINUED - 1):
        token = int(_logits(model, inputs)[-1].argmax())
        if token in _placeholders(model):
            raise UnclearContinuationError("the likeliest is a placeholder of a picture")
        inputs = _longer(inputs, token)
    logits = _logits(model, inputs)
    greedy = logits[prompt - 1 :].argmax(axis=-1).tolist()
    return greedy, logits


def _longer(inputs: dict[str, Any], token: int) -> dict[str, Any]:
    more = {"input_ids": token, "attention_mask": 1, "token_type_ids": 0, "mm_token_type_ids": 0}
    return inputs | {
        name: torch.cat([inputs[name], torch.tensor([[value]], dtype=inputs[name].dtype)], dim=1)
        for name, value in more.items()
        if name in inputs
    }


def _logits(model: Any, inputs: dict[str, Any]) -> np.ndarray:
    with torch.no_grad():
        return model(**inputs, use_cache=False).logits[0].float().numpy()


def _margins(logits: np.ndarray) -> list[float]:
    best = np.sort(logits, axis=-1)[:, -2:]
    return (best[:, 1] - best[:, 0]).tolist()


def _ends(model: Any) -> set[int]:
    ends = model.config.get_text_config().eos_token_id
    return set(ends if isinstance(ends, list) else [ends])


def _kept(model: Any, inputs: dict[str, Any], seen: dict[str, np.ndarray], logits: np.ndarray, prompt: int) -> dict[str, np.ndarray]:
    placed = np.isin(inputs["input_ids"][0].numpy(), _placeholders(model))
    arrays = {
        "columns": logits[:, kept_tokens(logits.shape[-1])],
        "likeliest": logits.argmax(axis=-1).astype(np.int16),
        "last": logits[[prompt - 1, prompt, -1]],
        "features": seen["embeddings"][:prompt][placed],
    }
    if "positions" in seen:
        arrays["positions"] = seen["positions"][:, :prompt].astype(np.int16)
    for name in PIXELS[:2]:
        if name in inputs:
            arrays[name] = sampled(inputs[name].numpy())
    return arrays


def _placeholders(model: Any) -> list[int]:
    names = ("image_token_id", "video_token_id", "image_token_index")
    return [getattr(model.config, name) for name in names if getattr(model.config, name, None) is not None]


def _language_model(model: Any) -> Any:
    inner = model.model
    return inner.language_model if hasattr(inner, "language_model") else inner.text_model


@contextmanager
def _watched(language_model: Any) -> Iterator[dict[str, np.ndarray]]:
    """Yields what the language model was last given: embeddings, pictures in their places, and positions if they have three axes."""
    seen: dict[str, np.ndarray] = {}

    def look(_module: Any, _args: Any, given: dict[str, Any]) -> None:
        seen["embeddings"] = given["inputs_embeds"][0].numpy()
        positions = given.get("position_ids")
        if positions is not None and positions.ndim == 3:
            seen["positions"] = positions[-3:, 0].numpy()

    hook = language_model.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


def write(references: list[Reference], directory: Path) -> None:
    lines = ",\n".join(f"  {json.dumps(one.facts)}" for one in references)
    (directory / "references.json").write_text(f"[\n{lines}\n]\n")
    arrays = {f"{one.facts['name']}.{name}": value for one in references for name, value in one.arrays.items()}
    np.savez_compressed(directory / "references.npz", **arrays)
