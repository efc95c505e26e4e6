"""``python -m benchmarks.harness.seeing_model DIRECTORY``: a model with random weights that sees, large enough to take its time.

Qwen2-VL's architecture with 16 blocks that see and 6 that speak, 56M parameters in all, and the tokenizer of the tests' tiny one. A
process of its own: a benchmark never imports MLX.
"""

from mlxd.worker.runtime.blas import load_openblas

load_openblas()  # before anything imports MLX

import json  # noqa: E402
import shutil  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import mlx.core as mx  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402
from mlx_vlm.models import qwen2_vl  # noqa: E402

_TINY = Path(__file__).parents[2] / "tests" / "data" / "vision" / "qwen2_vl"
_SPEAKS = {
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "num_hidden_layers": 6,
    "max_window_layers": 6,
    "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
}
_SEES = {"depth": 16, "embed_dim": 512, "num_heads": 8, "mlp_ratio": 4, "hidden_size": 256, "patch_size": 14, "spatial_patch_size": 14}
_PREPARED = {"patch_size": 14, "min_pixels": 28 * 28, "max_pixels": 672 * 672}
_SEED = 14


def write(directory: Path) -> None:
    """Writes the model's files."""
    shutil.copytree(
        _TINY, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("references.*", "*.safetensors", "config_as_saved.json")
    )
    config = _changed(directory / "config.json", _SPEAKS)
    config = _changed(directory / "config.json", {"vision_config": config["vision_config"] | _SEES})
    _changed(directory / "preprocessor_config.json", _PREPARED)
    mx.random.seed(_SEED)
    text = qwen2_vl.TextConfig.from_dict(config)
    vision = qwen2_vl.VisionConfig.from_dict(config["vision_config"])
    whole = qwen2_vl.ModelConfig.from_dict(config | {"text_config": config})
    whole.text_config, whole.vision_config = text, vision
    model = qwen2_vl.Model(whole)
    mx.save_safetensors(str(directory / "model.safetensors"), dict(tree_flatten(model.parameters())), metadata={"format": "mlx"})


def _changed(file: Path, values: dict[str, object]) -> dict[str, object]:
    content: dict[str, object] = json.loads(file.read_text()) | values
    file.write_text(json.dumps(content, indent=1))
    return content


if __name__ == "__main__":
    write(Path(sys.argv[1]))
