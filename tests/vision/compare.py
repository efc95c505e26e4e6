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
                apart = np.abs(sampled(np.asarray(found, np.float32)) - reference.arrays[name]).max()
                told.append(f"pixels {apart:.1e}")
    return told


def logits(reference: VisionReference, model: Any, inputs: dict[str, Any]) -> str:
    every = mx.array([reference.every_token()])
    others = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask", "pixel_values")}
    made = model.get_input_embeddings(every, inputs.get("pixel_values"), mask=mx.ones(every.shape, dtype=mx.int32), **others).to_dict()
    given = {name: value for name, value in made.items() if value is not None and name != "attention_mask_4d"}
    told = [distance(reference, model, every, given)]
    positions = reference.arrays.get("positions")
    if positions is not None and (np.asarray(given["position_ids"])[..., : positions.shape[1]].squeeze() != positions).any():
        given["position_ids"] = mx.array(continued(positions, len(reference.greedy) - 1))[:, None]
        told += ["OTHER POSITIONS; with the right ones:", distance(reference, model, every, given)]
    return "  ".join(told)


def continued(positions: np.ndarray, more: int) -> np.ndarray:
    """Returns the positions with those of words behind them."""
    behind = positions[:, -1:] + np.arange(1, more + 1)
    return np.concatenate([positions, behind], axis=1).astype(np.int32)


def distance(reference: VisionReference, model: Any, every: mx.array, given: dict[str, Any]) -> str:
    out = model.language_model(every, **(given | {"inputs_embeds": mx.array(given["inputs_embeds"])}))
    found = np.asarray(out.logits[0].astype(mx.float32))
    expected = reference.arrays["columns"]
    apart = np.abs(found[:, kept_tokens(found.shape[-1])] - expected).max(axis=1)
    same = (found.argmax(axis=-1) == reference.arrays["likeliest"]).mean()
    return f"logits {apart.max():.1e} (deviation {expected.std():.1f}; at {int(apart.argmax())} of {len(apart)})  same choice {same:.0%}"


if __name__ == "__main__":
    mx.set_default_device(mx.cpu)
    main()
