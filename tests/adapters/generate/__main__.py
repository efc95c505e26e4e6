"""Writes ``tests/data/adapters``, with torch, transformers and PEFT."""

import json
import shutil
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

DATA = Path(__file__).parents[2] / "data" / "adapters"
TOKENS = 24
PROMPT = [1, 5, 9, 44, 100, 7, 30, 21, 8, 9, 10, 11]
MODEL = LlamaConfig(
    vocab_size=128,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    tie_word_embeddings=False,
    bos_token_id=1,
    eos_token_id=2,
)
ADAPTERS = {
    "plain": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "root-of-rank": {"r": 8, "lora_alpha": 16, "use_rslora": True, "target_modules": "all-linear"},
    "patterns": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "k_proj", "down_proj"],
        "rank_pattern": {"down_proj": 8, "layers.1.self_attn.q_proj": 2},
        "alpha_pattern": {"layers.0.self_attn.k_proj": 32},
    },
    "dora": {"r": 4, "lora_alpha": 8, "use_dora": True, "target_modules": ["o_proj", "up_proj"]},
    "one-layer": {"r": 4, "lora_alpha": 8, "target_modules": ["gate_proj"], "layers_to_transform": [1]},
}


def random_model():
    torch.manual_seed(0)
    model = LlamaForCausalLM(MODEL).float().eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            torch.nn.init.normal_(weight, std=0.3)
    return model


def with_adapter(number, settings):
    model = get_peft_model(random_model(), LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
    torch.manual_seed(number)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.15)
        if "lora_magnitude_vector" in name:
            weight.data *= 1 + 0.2 * torch.rand_like(weight)
    return model


@torch.no_grad()
def said(model):
    """The tokens that are the likeliest, one after the other."""
    tokens = torch.tensor([PROMPT])
    for _ in range(TOKENS):
        tokens = torch.cat([tokens, model(tokens).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    return tokens[0, len(PROMPT) :].tolist()


def write_tokenizer(directory):
    tokenizer = Tokenizer(models.WordLevel({f"t{token}": token for token in range(MODEL.vocab_size)}, unk_token="t0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}\n')


def main():
    shutil.rmtree(DATA, ignore_errors=True)
    model = random_model()
    model.save_pretrained(DATA / "model")
    write_tokenizer(DATA / "model")
    references = {"": said(model)}
    for number, (name, settings) in enumerate(ADAPTERS.items(), start=1):
        adapted = with_adapter(number, settings)
        adapted.save_pretrained(DATA / name)
        (DATA / name / "README.md").unlink(missing_ok=True)
        references[name] = said(adapted)
    (DATA / "references.json").write_text(json.dumps({"prompt": PROMPT, "said": references}, indent=1) + "\n")


main()
