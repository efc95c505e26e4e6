"""What the architectures of mlx-vlm differ in, as far as it matters for serving them.

Each of them has a ``language_model``, whose layers are like mlx-lm's, and a vision tower. What is called here of it are its own parts: the
tower, the projector behind it, and the language model over embeddings. Whatever its ``generate`` would keep on the model between calls
(positions, differences of positions) is not used: rows of different requests share a call.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx import nn
from typing_extensions import override

from mlxd.worker.runtime.parameters import floating_type
from mlxd.worker.runtime.vision.features import Features, Shown

Tensors = Mapping[str, mx.array]


@dataclass(frozen=True)
class Part:
    """What a processor made of a picture, or of a part of it, which becomes ``count`` embeddings."""

    tensors: Tensors
    count: int

    def split(self, number: int, together: int, take: Callable[[slice], Tensors]) -> "Iterator[Part]":
        """Yields its ``number`` equal parts, so many ``together``; ``take`` gives the tensors of some of them."""
        for first in range(0, number, together):
            some = slice(first, min(first + together, number))
            yield Part(take(some), self.count // number * (some.stop - some.start))


class Architecture:
    """A model whose rows stand at the positions of their tokens, and attend to what is before them."""

    rotates_by_axes = False
    is_mutual = False  # a picture's tokens attend to all of it

    def prepare(self, model: Any) -> None:
        """Changes what has to be another way in the model: here, nothing."""

    def parts(self, model: Any, whole: Part, most: int) -> Iterator[Part]:  # noqa: ARG002
        """Yields the parts of a picture or film that do not look at each other, several together as long as they have no more than
        ``most`` patches: here, all of it is one.
        """
        yield whole

    def encode(self, model: Any, tensors: Tensors, count: int) -> Features:
        """Returns the ``count`` embeddings of a part, which nothing has computed yet, from what the processor made."""
        token = self._placeholder(model)
        given = model.get_input_embeddings(mx.full((1, count), token, mx.int32), **tensors)  # all of it is placeholders
        return Features(given.inputs_embeds[0])

    def logits(self, model: Any, tokens: mx.array, cache: Any, shown: Shown | None) -> mx.array:
        """Returns the logits ``[B, n, vocab]`` of ``tokens`` ``[B, n]``."""
        given = {} if shown is None else {"inputs_embeds": merged(self.embeddings(model)(tokens), shown)}
        found: mx.array = model.language_model(tokens, cache=cache, **given).logits
        return found

    @staticmethod
    def embeddings(model: Any) -> nn.Module:
        """Returns the module that makes embeddings of tokens."""
        language = model.language_model
        found: nn.Module = getattr(language, "model", language).embed_tokens
        return found

    @staticmethod
    def dtype(model: Any) -> mx.Dtype:
        """Returns the type that the vision tower computes in."""
        return floating_type(vision_tower(model))

    @staticmethod
    def _placeholder(model: Any) -> int:
        found: int = model.config.image_token_index
        return found


class Llava(Architecture):
    """LLaVA, which sees by CLIP or by SigLIP: mlx-vlm gives both the activation of CLIP."""

    @override
    def prepare(self, model: Any) -> None:
        if model.config.vision_config.model_type == "siglip_vision_model":
            for block in model.vision_tower.vision_model.encoder.layers:
                block.mlp.activation_fn = nn.GELU(approx="precise")


class Idefics3(Architecture):
    """Idefics3 and SmolVLM: a picture is cut into crops, each of which has a span of its own."""

    @override
    def parts(self, model: Any, whole: Part, most: int) -> Iterator[Part]:
        _, crops, _, height, width = whole.tensors["pixel_values"].shape
        together = max(1, most // _patches(model, height, width))
        return whole.split(crops, together, lambda some: {name: tensor[:, some] for name, tensor in whole.tensors.items()})


class Pixtral(Architecture):
    """Pixtral and Mistral 3: a span for each row of a picture's patches."""


class Mistral3(Pixtral):
    """Mistral 3, whose words may be Ministral 3's: their queries grow beyond the length they were first trained with, each by its place."""

    @override
    def prepare(self, model: Any) -> None:
        decoder = model.language_model.model
        name = type(decoder).__name__
        if name == "Ministral3":
            decoder.__class__ = _scaling_by_row(type(decoder))
        elif name != "Mistral":
            raise NotImplementedError(f"rows at different places in one call of {name}")


class Gemma3(Architecture):
    """Gemma 3: a picture's tokens attend to each other both ways, and embeddings are scaled once they are merged."""

    is_mutual = True

    @override
    def prepare(self, model: Any) -> None:
        model.config.hidden_size = model.config.text_config.hidden_size  # mlx-vlm scales by a default where only the text's is said

    @override
    def parts(self, model: Any, whole: Part, most: int) -> Iterator[Part]:
        pixels = whole.tensors["pixel_values"]
        crops, _, height, width = pixels.shape
        return whole.split(crops, max(1, most // _patches(model, height, width)), lambda some: {"pixel_values": pixels[some]})

    @override
    def encode(self, model: Any, tensors: Tensors, count: int) -> Features:
        hidden, *_ = model.vision_tower(tensors["pixel_values"].transpose(0, 2, 3, 1))
        projected: mx.array = model.multi_modal_projector(hidden)
        embeddings = projected.reshape(-1, projected.shape[-1])
        return Features(embeddings / mx.array(math.sqrt(embeddings.shape[-1]), mx.bfloat16).astype(embeddings.dtype))


class Qwen2VL(Architecture):
    """Qwen2-VL and Qwen2.5-VL: rotation by time, height and width."""

    rotates_by_axes = True

    @override
    def parts(self, model: Any, whole: Part, most: int) -> Iterator[Part]:
        """Yields the times of a film, which is two frames each."""
        pixels, grid = _pixels_and_grid(whole.tensors)
        times, rows, columns = map(int, np.asarray(grid[0]))
        by_time = pixels.reshape(times, rows * columns, -1)

        def taken(some: slice) -> Tensors:
            return {
                "pixel_values": by_time[some].reshape(-1, pixels.shape[-1]),
                "image_grid_thw": mx.array([[some.stop - some.start, rows, columns]]),
            }

        return whole.split(times, max(1, most // (rows * columns)), taken)

    @override
    def encode(self, model: Any, tensors: Tensors, count: int) -> Features:
        return Features(model.vision_tower(*_pixels_and_grid(tensors)))

    @override
    def logits(self, model: Any, tokens: mx.array, cache: Any, shown: Shown | None) -> mx.array:
        language = model.language_model
        positions = None if shown is None else shown.positions
        given = {} if shown is None else self._given(language.model.embed_tokens(tokens), shown)
        hidden = language.model(tokens, cache=cache, position_ids=_in_order(tokens, cache) if positions is None else positions, **given)
        head = language.model.embed_tokens.as_linear if language.args.tie_word_embeddings else language.lm_head
        logits: mx.array = head(hidden)
        return logits

    def _given(self, embeddings: mx.array, shown: Shown) -> dict[str, Any]:
        return {"inputs_embeds": merged(embeddings, shown)}


class Qwen3VL(Qwen2VL):
    """Qwen3-VL: as before, and what some blocks of the tower have seen is added behind the first layers (DeepStack)."""

    @override
    def prepare(self, model: Any) -> None:
        decoder = model.language_model.model
        decoder.__class__ = _adding_by_row(type(decoder))

    @override
    def encode(self, model: Any, tensors: Tensors, count: int) -> Features:
        embeddings, deep = model.vision_tower(*_pixels_and_grid(tensors))
        return Features(embeddings, tuple(deep))

    @override
    def _given(self, embeddings: mx.array, shown: Shown) -> dict[str, Any]:
        return super()._given(embeddings, shown) | {"visual_pos_masks": shown.rows, "deepstack_visual_embeds": shown.features.deep}


ARCHITECTURES: Mapping[str, Architecture] = {  # by the "model_type" of config.json
    "gemma3": Gemma3(),
    "idefics3": Idefics3(),
    "llava": Llava(),
    "mistral3": Mistral3(),
    "pixtral": Pixtral(),
    "qwen2_5_vl": Qwen2VL(),
    "qwen2_vl": Qwen2VL(),
    "qwen3_vl": Qwen3VL(),
    "smolvlm": Idefics3(),
}


def seeing_modules(model: Any) -> list[nn.Module]:
    """Returns all modules but those of the language model: the tower's, and those of what is between the two."""
    return [module for name, module in model.named_modules() if not name.startswith("language_model")]


def vision_tower(model: Any) -> nn.Module:
    """Returns the module that encodes pictures."""
    found: nn.Module = model.vision_model if "vision_model" in model else model.vision_tower
    return found


def merged(embeddings: mx.array, shown: Shown) -> mx.array:
    """Returns ``[B, n, hidden]`` with those of ``shown`` in their places: a new array, for some models scale it in place."""
    flat = embeddings.reshape(-1, embeddings.shape[-1])
    flat[shown.rows] = shown.features.embeddings.astype(flat.dtype)
    return flat.reshape(embeddings.shape)


def _patches(model: Any, height: int, width: int) -> int:
    size: int = model.config.vision_config.patch_size
    return (height // size) * (width // size)


def _pixels_and_grid(tensors: Tensors) -> tuple[mx.array, mx.array]:
    kind = "" if "pixel_values" in tensors else "_videos"
    return tensors[f"pixel_values{kind}"], tensors["video_grid_thw" if kind else "image_grid_thw"]


def _in_order(tokens: mx.array, cache: Any) -> mx.array:
    """Returns the positions ``[3, B, n]`` of tokens of text, all three alike."""
    return mx.broadcast_to(_places(tokens.shape[1], cache), (3, *tokens.shape))


def _places(length: int, cache: Any) -> mx.array:
    """Returns the places of tokens, ``[B, n]`` or ``[n]`` where all rows are alike: they follow where the cache says that a row begins."""
    offset = cache[0].offset if cache else 0
    start = offset[:, None] if isinstance(offset, mx.array) and offset.ndim else offset
    return start + mx.arange(length)


def _adding_by_row(kind: type) -> type:
    """Returns a subclass of the class of a decoder, which adds what a tower's blocks have seen by the numbers of rows, where it is given
    these; mlx-vlm's own way looks at each row of the batch in Python.
    """

    def add(self: Any, hidden: mx.array, rows: mx.array, embeddings: mx.array) -> Any:
        if rows.dtype == mx.bool_:
            return kind._deepstack_process(self, hidden, rows, embeddings)  # type: ignore[attr-defined]  # noqa: SLF001 - its own
        flat = hidden.reshape(-1, hidden.shape[-1])
        return flat.at[rows].add(embeddings.astype(flat.dtype)).reshape(hidden.shape)

    return type(f"Adding{kind.__name__}", (kind,), {"_deepstack_process": add})


def _scaling_by_row(kind: type) -> type:
    """Returns a subclass of the class of a decoder, which scales queries by the place of each; mlx-vlm's way goes by the first row's."""

    def call(self: Any, inputs: mx.array, cache: Any = None, inputs_embeds: mx.array | None = None) -> Any:
        hidden = self.embed_tokens(inputs) if inputs_embeds is None else inputs_embeds
        length = hidden.shape[1]
        settings = self.config.rope_parameters
        times = mx.floor(_places(length, cache) / settings["original_max_position_embeddings"])
        scale = (1 + settings["llama_4_scaling_beta"] * mx.log(1 + times)).astype(hidden.dtype)
        scale = scale[..., None] if scale.ndim == 1 else scale[:, None, :, None]
        for layer, own in zip(self.layers, cache, strict=True):
            window = self.sliding_window if layer.use_sliding else None
            hidden = layer(hidden, scale, own.make_mask(length, return_array=False, window_size=window), cache=own)
        return self.norm(hidden)

    return type(f"Scaling{kind.__name__}", (kind,), {"__call__": call})
