"""What one architecture is to the tests, and how a table writes it down."""

from dataclasses import dataclass
from typing import Any

from tests.support.architectures.fields import COMMON


@dataclass(frozen=True)
class Architecture:
    """``config`` is a whole config.json; ``in_mlx_lm_test`` says whether mlx-lm's own ``test_all_models`` has the model type.

    ``embedding`` is the standard deviation of the token embeddings in ``build``: small where the model multiplies them, so that
    the hidden state is made by the layers and not by the last token alone.
    """

    config: dict[str, Any]
    in_mlx_lm_test: bool
    note: str = ""
    embedding: float = 0.5


# The model types in test_all_models of mlx-lm's tests/test_models.py; others have a test of their own there, or none.
_IN_MLX_LM_TEST = """
    Klear afm7 afmoe apertus baichuan_m1 bailing_moe bailing_moe_linear deepseek_v32 dots1 ernie4_5 ernie4_5_moe exaone4 exaone_moe
    gemma3n gemma4 glm glm4 glm4_moe glm4_moe_lite granite granitemoe granitemoehybrid helium jamba kimi_linear kimi_vl lfm2-vl
    lille-130m llama4 llama4_text longcat_flash longcat_flash_ngram mamba2 mimo mimo_v2_flash minimax nanochat nemotron-nas
    nemotron_h olmo3 olmoe pixtral qwen3_5 qwen3_5_moe qwen3_next qwen3_vl qwen3_vl_moe rwkv7 seed_oss telechat3 youtu_llm
"""


def plain(model_type: str, base: dict[str, Any], /, *, embedding: float = 0.5, note: str = "", **fields: Any) -> Architecture:
    config = base | {"model_type": model_type} | fields
    return Architecture(config, model_type in _IN_MLX_LM_TEST.split(), note, embedding)


def wrapped(model_type: str, text: dict[str, Any], /, **fields: Any) -> Architecture:
    """The language model of a multimodal one: its fields are under ``text_config``."""
    return plain(model_type, COMMON, text_config=text, **fields)
