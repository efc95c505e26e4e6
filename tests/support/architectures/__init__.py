"""Tiny configurations of every mlx-lm architecture that runs on any device, and a function that builds one.

For tests that put each architecture through the batching engine and compare with the plain mlx-lm model. The layer patterns are
chosen for the caches: windows of 8 tokens so that a short prompt already wraps them, and every kind of layer present. MLX is
imported by ``build`` alone.
"""

from tests.support.architectures.architecture import Architecture
from tests.support.architectures.full_attention import FULL_ATTENTION
from tests.support.architectures.latent import LATENT_ATTENTION
from tests.support.architectures.recurrent import RECURRENT
from tests.support.architectures.weights import build
from tests.support.architectures.windowed import SHARED_KV, WINDOWED

__all__ = ["ARCHITECTURES", "BROKEN", "Architecture", "build"]

ARCHITECTURES: dict[str, Architecture] = FULL_ATTENTION | WINDOWED | SHARED_KV | LATENT_ATTENTION | RECURRENT

BROKEN: dict[str, str] = {
    "bitnet": "its linear layers exist as a Metal kernel only",
    "muse_spark": "its norms, rope and routing exist as Metal kernels only (mlx_lm.kernels); it also computes in bfloat16",
    "olmo": "importing it ends the process (sys.exit) without the package ai2-olmo; with that it adds the mask's name to the scores",
    "phi3small": (
        "its block-sparse layers add the boolean mask to the scores, so they see the future and chunks change the logits; "
        "it also writes to the logits of tokens from 100256 on, out of bounds with a small vocabulary"
    ),
}
