"""The architectures, each as small as it can be and still be itself."""

from tests.vision.generate.families import gemma, idefics, llava, qwen
from tests.vision.generate.families.architecture import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    one.name: one
    for one in (
        qwen.QWEN2_VL,
        qwen.QWEN2_5_VL,
        qwen.QWEN3_VL,
        gemma.GEMMA3,
        idefics.IDEFICS3,
        idefics.SMOLVLM,
        llava.LLAVA,
        llava.PIXTRAL,
        llava.MISTRAL3,
        llava.INTERLEAVE,
    )
}
