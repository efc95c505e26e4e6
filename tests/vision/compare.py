"""Says of every tiny vision model what mlx-vlm itself computes beside its references: tokens, pixels and logits.

``python -m tests.vision.compare [ARCHITECTURE ...]``; needs mlx-vlm, Pillow and requests.
"""

import argparse
import sys
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_vlm.utils import load

from tests.support.vision_references import PICTURES, VisionReference, architectures, checkpoint, kept_tokens, references, sampled
from tests.vision.generate.pictures import load_frames, load_picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("architectures", nargs="*", default=architectures())
    for architecture in parser.parse_args().architectures:
        model, processor = load(str(checkpoint(architecture)))
        for reference in references(architecture).values():
            sys.stdout.write(f"{architecture:12} {reference.name:20} {compared(reference, model, processor)}\n")


def compared(reference: VisionReference, model: Any, processor: Any) -> str:
    try:
        inputs = processed(reference, processor)
    except Exception as error:  # noqa: BLE001  a table has a line for everything
        return f"processor: {type(error).__name__}: {str(error)[:150]}"
    told = [tokens(reference, inputs), *pixels(reference, inputs)]
    if inputs["input_ids"].shape[1] != len(reference.tokens) and reference.parts("video"):
        budget, processor.video_processor.max_pixels = processor.video_processor.max_pixels, 1 << 20
        inputs = processed(reference, processor)
        processor.video_processor.max_pixels = budget
        told += ["without a limit of a film's size:", tokens(reference, inputs), *pixels(reference, inputs)]
    try:
        told.append(logits(reference, model, inputs))
    except Exception as error:  # noqa: BLE001
        told.append(f"model: {type(error).__name__}: {str(error)[:150]}")
    return "  ".join(told)


def processed(reference: VisionReference, processor: Any) -> dict[str, Any]:
    media: dict[str, Any] = {}
    if images := [load_picture(PICTURES, part["picture"]) for part in reference.parts("image")]:
        media["images"] = images
    if videos := reference.parts("video"):
        media["videos"] = [load_frames(PICTURES, part["frames"]) for part in videos]
        media["video_metadata"] = [
            {"total_num_frames": part["frames"], "fps": part["fps"], "frames_indices": list(range(part["frames"]))} for part in videos
        ]
    tokenizer = processor.tokenizer
    adds = not (tokenizer.bos_token and reference.prompt.startswith(tokenizer.bos_token))
    special = {} if adds else {"add_special_tokens": False}  # which some of its processors hand to the pictures', too
    made = processor(text=[reference.prompt], **special, **media)
    return {name: value if isinstance(value, mx.array) else mx.array(np.asarray(value)) for name, value in made.items()}


def tokens(reference: VisionReference, inputs: dict[str, Any]) -> str:
    return (
        "tokens equal"
        if inputs["input_ids"][0].tolist() == reference.tokens
        else f"TOKENS {inputs['input_ids'].shape[1]} for {len(reference.tokens)}"
    )


def pixels(reference: VisionReference, inputs: dict[str, Any]) -> list[str]:
    told = []
    for name in ("pixel_values", "pixel_values_videos"):
        if name in reference.shapes:
            found = inputs.get(name)
            if found is None or list(found.shape) != reference.shapes[name]:
                told.append(f"{name.upper()} {None if found is None else found.shape} for {reference.shapes[name]}")
            else:
                told.append(f"pixels {np.abs(sampled(np.asarray(found, np.float32)) - reference.arrays[name]).max():.1e}")
    return told


def logits(reference: VisionReference, model: Any, inputs: dict[str, Any]) -> str:
    every = mx.array([reference.every_token()])
    others = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask", "pixel_values")}
    if model.config.model_type == "gemma3":
        return both_ways(reference, model, every, inputs)
    made = model.get_input_embeddings(every, inputs.get("pixel_values"), mask=mx.ones(every.shape, dtype=mx.int32), **others).to_dict()
    given = {name: value for name, value in made.items() if value is not None and name != "attention_mask_4d"}
    told = [distance(reference, model, every, given)]
    positions = reference.arrays.get("positions")
    if positions is not None and (np.asarray(given["position_ids"])[..., : positions.shape[1]].squeeze() != positions).any():
        given["position_ids"] = mx.array(continued(positions, len(reference.greedy) - 1))[:, None]
        told += ["OTHER POSITIONS; with the right ones:", distance(reference, model, every, given)]
    return "  ".join(told)


def both_ways(reference: VisionReference, model: Any, every: mx.array, inputs: dict[str, Any]) -> str:
    """Gemma 3 needs two things that mlx-vlm lacks: the pictures' features by the width of the language model, whose part of the
    configuration says it, and masks by which the tokens of a picture see each other.
    """
    told = [distance(reference, model, every, {"inputs_embeds": embedded(model, every, inputs)})]
    given, model.config.hidden_size = model.config.hidden_size, model.config.text_config.hidden_size
    embeddings = embedded(model, every, inputs)
    model.config.hidden_size = given
    words = model.language_model.model
    full, window = masks(np.asarray(every[0]), model.config.image_token_index, words.window_size)
    hidden = embeddings * model.config.text_config.hidden_size**0.5
    for number, layer in enumerate(words.layers, 1):
        hidden = layer(hidden, full if number % words.sliding_window_pattern == 0 else window, None)
    told += ["with its own width and masks both ways:", apart(reference, words.embed_tokens.as_linear(words.norm(hidden)))]
    return "  ".join(told)


def embedded(model: Any, every: mx.array, inputs: dict[str, Any]) -> mx.array:
    return model.get_input_embeddings(every, inputs.get("pixel_values"), mask=mx.ones(every.shape, dtype=mx.int32)).inputs_embeds


def masks(tokens: np.ndarray, placeholder: int, window: int) -> tuple[mx.array, mx.array]:
    """Returns who sees whom, of all before and of those in the window."""
    placed = tokens == placeholder
    picture = np.cumsum(placed & ~np.roll(placed, 1)) * placed
    mutual = (picture[:, None] == picture) & placed
    back = np.arange(len(tokens))[:, None] - np.arange(len(tokens))
    return mx.array((back >= 0) | mutual), mx.array(((back >= 0) & (back < window)) | mutual)


def continued(positions: np.ndarray, more: int) -> np.ndarray:
    """Returns the positions with those of words behind them."""
    behind = positions[:, -1:] + np.arange(1, more + 1)
    return np.concatenate([positions, behind], axis=1).astype(np.int32)


def distance(reference: VisionReference, model: Any, every: mx.array, given: dict[str, Any]) -> str:
    return apart(reference, model.language_model(every, **(given | {"inputs_embeds": mx.array(given["inputs_embeds"])})).logits)


def apart(reference: VisionReference, logits: mx.array) -> str:
    found, expected = np.asarray(logits[0].astype(mx.float32)), reference.arrays["columns"]
    furthest = np.abs(found[:, kept_tokens(found.shape[-1])] - expected).max(axis=1)
    same = (found.argmax(axis=-1) == reference.arrays["likeliest"]).mean()
    return (
        f"logits {furthest.max():.1e} (deviation {expected.std():.1f}; at {furthest.argmax()} of {len(furthest)})  same choice {same:.0%}"
    )


if __name__ == "__main__":
    mx.set_default_device(mx.cpu)
    main()
