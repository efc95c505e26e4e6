"""Tiny configurations of every mlx-lm architecture that runs on any device, and a function that builds one.

For tests that put each architecture through the batching engine and compare with the plain mlx-lm model. The layer patterns are
chosen for the caches: windows of 8 tokens so that a short prompt already wraps them, and every kind of layer present. MLX is
imported by ``build`` alone.
"""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support.tiny_model import BOS, EOS, VOCAB

if TYPE_CHECKING:
    from mlx import nn


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

_WINDOW = 8
_ALTERNATING = ["sliding_attention", "full_attention"] * 2

_COMMON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "max_position_embeddings": 512,
}
_LLAMA_LIKE: dict[str, Any] = _COMMON | {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "mlp_bias": False,
    "tie_word_embeddings": False,
}
_GPT_LIKE: dict[str, Any] = _COMMON | {
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_inner": 128,
    "n_ctx": 512,
    "n_positions": 512,
    "layer_norm_epsilon": 1e-5,
}
_SLIDING: dict[str, Any] = _LLAMA_LIKE | {"num_hidden_layers": 4, "sliding_window": _WINDOW, "layer_types": _ALTERNATING}
_MOE: dict[str, Any] = _LLAMA_LIKE | {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "norm_topk_prob": True,
}
_LOCAL_EXPERTS: dict[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 2}
_DEEPSEEK_MOE: dict[str, Any] = _LLAMA_LIKE | {
    "num_hidden_layers": 3,
    "moe_intermediate_size": 32,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "norm_topk_prob": True,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "n_group": 2,
    "topk_group": 1,
    "routed_scaling_factor": 1.0,
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
}
_LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
}
_DEEPSEEK: dict[str, Any] = _DEEPSEEK_MOE | _LATENT
_YARN: dict[str, Any] = {
    "type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 128,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}
# Queries grow with the position, a step every 16 tokens.
_YARN_SCALED_QUERIES: dict[str, Any] = _YARN | {
    "rope_theta": 10000.0,
    "original_max_position_embeddings": 16,
    "llama_4_scaling_beta": 0.5,
}
_MISTRAL4: dict[str, Any] = _DEEPSEEK | {"head_dim": None, "rope_parameters": _YARN_SCALED_QUERIES}
_SPARSE_INDEX: dict[str, Any] = {"index_head_dim": 16, "index_n_heads": 2, "index_topk": 6}
_MAMBA: dict[str, Any] = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 16,
    "mamba_d_conv": 4,
    "mamba_n_groups": 1,
    "mamba_proj_bias": False,
    "mamba_conv_bias": True,
}
_DELTA: dict[str, Any] = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
}
_GRANITE: dict[str, Any] = {
    "logits_scaling": 1.0,
    "attention_multiplier": 0.25,
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
}
_GEMMA: dict[str, Any] = _LLAMA_LIKE | {
    "query_pre_attn_scalar": 16,
    "sliding_window": _WINDOW,
    "sliding_window_pattern": 2,
    "final_logit_softcapping": 30.0,
    "tie_word_embeddings": True,
}
_GEMMA3: dict[str, Any] = _GEMMA | {"model_type": "gemma3_text", "num_hidden_layers": 4, "rope_local_base_freq": 1000.0}
_GEMMA4: dict[str, Any] = _GEMMA | {
    "model_type": "gemma4_text",
    "num_hidden_layers": 4,
    "global_head_dim": 32,
    "num_kv_shared_layers": 0,
    "layer_types": _ALTERNATING,
    "vocab_size_per_layer_input": VOCAB,
    "hidden_size_per_layer_input": 16,
    "use_double_wide_mlp": True,
}
_LFM2: dict[str, Any] = _LLAMA_LIKE | {
    "num_hidden_layers": 4,
    "norm_eps": 1e-5,
    "conv_bias": True,
    "conv_L_cache": 3,
    "full_attn_idxs": [1, 3],
}
_LFM2_DENSE: dict[str, Any] = _LFM2 | {
    "block_dim": 64,
    "block_ff_dim": 96,
    "block_multiple_of": 8,
    "block_ffn_dim_multiplier": 1.0,
    "block_auto_adjust_ff_dim": False,
}
# A layer with its window alone, one that compresses, indexes and picks candidates, one that indexes, one that reuses all.
_DEEPSEEK_V41: dict[str, Any] = _DEEPSEEK_MOE | {
    "num_hidden_layers": 4,
    "head_dim": 32,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "o_groups": 2,
    "o_lora_rank": 16,
    "scoring_func": "sqrtsoftplus",
    "rms_norm_eps": 1e-6,
    "sliding_window": _WINDOW,
    "compress_ratios": [0, 4, 4, 4],
    "kv_source_layer_ids": [1],
    "index_source_layer_ids": [1, 2],
    "candidate_source_layer_id": 1,
    "candidate_topk_blocks": 2,
    "candidate_block_size": 2,
    "index_n_heads": 2,
    "index_head_dim": 32,
    "index_topk": 3,
    "hc_mult": 2,
    "hc_sinkhorn_iters": 4,
}
_LONGCAT: dict[str, Any] = (
    _LLAMA_LIKE
    | _LATENT
    | {
        "num_layers": 2,
        "attention_method": "MLA",
        "zero_expert_type": "identity",
        "zero_expert_num": 2,
        "n_routed_experts": 4,
        "moe_topk": 2,
        "ffn_hidden_size": 96,
        "expert_ffn_hidden_size": 32,
        "routed_scaling_factor": 1.0,
        "mla_scale_q_lora": True,
        "mla_scale_kv_lora": True,
    }
)
_BAILING: dict[str, Any] = _MOE | {
    "num_hidden_layers": 4,
    "num_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
    "score_function": "sigmoid",
    "moe_router_enable_expert_bias": True,
    "routed_scaling_factor": 1.0,
    "moe_shared_expert_intermediate_size": 32,
}
_QWEN3_MOE: dict[str, Any] = _MOE | {"decoder_sparse_step": 1, "mlp_only_layers": [0]}
_QWEN_HYBRID: dict[str, Any] = (
    _QWEN3_MOE
    | _DELTA
    | {
        "num_hidden_layers": 4,
        "full_attention_interval": 2,
        "shared_expert_intermediate_size": 32,
        "partial_rotary_factor": 0.5,
    }
)
_QWEN3_5: dict[str, Any] = (
    _LLAMA_LIKE
    | _DELTA
    | {
        "num_hidden_layers": 4,
        "full_attention_interval": 2,
        "rope_parameters": {"type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    }
)
_KIMI_LINEAR: dict[str, Any] = {"num_heads": 4, "head_dim": 16, "kda_layers": [1, 3], "short_conv_kernel_size": 4}


def _plain(model_type: str, base: dict[str, Any], /, *, embedding: float = 0.5, note: str = "", **fields: Any) -> Architecture:
    config = base | {"model_type": model_type} | fields
    return Architecture(config, model_type in _IN_MLX_LM_TEST.split(), note, embedding)


def _wrapped(model_type: str, text: dict[str, Any], /, **fields: Any) -> Architecture:
    """The language model of a multimodal one: its fields are under ``text_config``."""
    return _plain(model_type, _COMMON, text_config=text, **fields)


# Attention with one growing KV cache per layer.
_FULL_ATTENTION = {
    "Klear": _plain("Klear", _MOE, num_hidden_layers=3, n_shared_experts=1, mlp_only_layers=[0], decoder_sparse_step=1),
    "apertus": _plain("apertus", _LLAMA_LIKE, post_norm=True, qk_norm=True),
    "bailing_moe": _plain("bailing_moe", _BAILING, num_hidden_layers=2, use_qk_norm=True),
    "cohere": _plain("cohere", _LLAMA_LIKE, layer_norm_eps=1e-5, logit_scale=1.0, use_qk_norm=True),
    "dbrx": _plain(
        "dbrx",
        _COMMON,
        d_model=64,
        n_layers=2,
        n_heads=4,
        ffn_config={"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
        attn_config={"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
    ),
    "deepseek": _plain("deepseek", _DEEPSEEK_MOE, num_hidden_layers=2),
    "dots1": _plain("dots1", _DEEPSEEK_MOE, num_hidden_layers=2),
    "ernie4_5": _plain("ernie4_5", _LLAMA_LIKE, use_bias=True, tie_word_embeddings=True),
    "ernie4_5_moe": _plain(
        "ernie4_5_moe",
        _LLAMA_LIKE,
        use_bias=False,
        moe_num_experts=4,
        moe_k=2,
        moe_intermediate_size=32,
        moe_num_shared_experts=1,
        moe_layer_start_index=1,
        moe_layer_end_index=1,
    ),
    "exaone": _plain("exaone", _LLAMA_LIKE, num_layers=2, layer_norm_epsilon=1e-5),
    "gemma": _plain("gemma", _GEMMA, embedding=0.1),
    "gemma2": _plain("gemma2", _GEMMA, attn_logit_softcapping=50.0, embedding=0.1),
    "glm": _plain("glm", _LLAMA_LIKE),
    "glm4": _plain("glm4", _LLAMA_LIKE, partial_rotary_factor=0.5),
    "glm4_moe": _plain("glm4_moe", _DEEPSEEK_MOE, rope_scaling=None, use_qk_norm=True, partial_rotary_factor=0.5),
    "gpt2": _plain("gpt2", _GPT_LIKE),
    "gpt_bigcode": _plain("gpt_bigcode", _GPT_LIKE, multi_query=True),
    "gpt_neox": _plain("gpt_neox", _LLAMA_LIKE, layer_norm_eps=1e-5, rotary_emb_base=10000, rotary_pct=0.25),
    "gptj": _plain("gptj", _GPT_LIKE, rotary_dim=8),
    "granite": _plain("granite", _LLAMA_LIKE | _GRANITE),
    "granitemoe": _plain("granitemoe", _LLAMA_LIKE | _GRANITE | _LOCAL_EXPERTS, intermediate_size=32),
    "helium": _plain("helium", _LLAMA_LIKE),
    "hunyuan_v1_dense": _plain("hunyuan_v1_dense", _LLAMA_LIKE, rope_scaling={"alpha": 1000.0, "factor": 1.0, "type": "dynamic"}),
    "internlm2": _plain("internlm2", _LLAMA_LIKE, bias=True),
    "internlm3": _plain("internlm3", _LLAMA_LIKE, bias=True, qkv_bias=True),
    "lille-130m": _plain(
        "lille-130m", _COMMON, block_size=512, n_embd=64, n_head=4, n_kv_heads=2, n_layer=2, rope_theta=10000.0, layer_norm_eps=1e-5
    ),
    "llama": _plain("llama", _LLAMA_LIKE),
    "llama_llama3_rope": _plain(
        "llama", _LLAMA_LIKE, rope_scaling={"rope_type": "llama3", "factor": 4.0, "original_max_position_embeddings": 64}
    ),
    "llama_yarn_rope": _plain("llama", _LLAMA_LIKE, rope_scaling=_YARN),
    "llama_dynamic_rope": _plain(
        "llama",
        _LLAMA_LIKE,
        rope_scaling={"rope_type": "dynamic", "factor": 2.0},
        note="its rope takes one integer offset only; the logits are those of plain llama up to 512 tokens",
    ),
    "llama4_text": _plain("llama4_text", _LLAMA_LIKE, intermediate_size_mlp=96, no_rope_layers=[1, 0], use_qk_norm=True),
    "mimo": _plain("mimo", _LLAMA_LIKE),
    "minicpm": _plain("minicpm", _LLAMA_LIKE, dim_model_base=64, scale_depth=1.4, scale_emb=1.0),
    "minimax": _plain("minimax", _LLAMA_LIKE | _LOCAL_EXPERTS, intermediate_size=32, shared_intermediate_size=0, rotary_dim=8),
    "mixtral": _plain("mixtral", _LLAMA_LIKE | _LOCAL_EXPERTS, intermediate_size=32),
    "nanbeige": _plain("nanbeige", _LLAMA_LIKE, num_loops=2),
    "nanochat": _plain("nanochat", _LLAMA_LIKE),
    "nemotron": _plain("nemotron", _LLAMA_LIKE, hidden_act="relu2", norm_eps=1e-5),
    "nemotron-nas": _plain(
        "nemotron-nas",
        _LLAMA_LIKE,
        num_hidden_layers=4,
        block_configs=[
            {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 1.3125}},
            {"attention": {"no_op": True}, "ffn": {"ffn_mult": 1.3125}},
            {"attention": {"replace_with_linear": True}, "ffn": {"replace_with_linear": True}},
            {"attention": {"n_heads_in_group": 4}, "ffn": {"no_op": True}},
        ],
    ),
    "olmo2": _plain("olmo2", _LLAMA_LIKE),
    "olmoe": _plain("olmoe", _MOE),
    "openelm": _plain(
        "openelm",
        _COMMON,
        head_dim=16,
        model_dim=64,
        num_transformer_layers=2,
        ffn_dim_divisor=16,
        ffn_multipliers=[1.0, 1.5],
        num_query_heads=[4, 6],
        num_kv_heads=[2, 3],
    ),
    "phi": _plain("phi", _LLAMA_LIKE, layer_norm_eps=1e-5, partial_rotary_factor=0.5),
    "phi3": _plain("phi3", _LLAMA_LIKE),
    "phi3_longrope": _plain(
        "phi3",
        _LLAMA_LIKE,
        original_max_position_embeddings=128,
        rope_scaling={"type": "longrope", "long_factor": [1.0 + 0.25 * i for i in range(8)], "short_factor": [1.0] * 8},
    ),
    "phimoe": _plain(
        "phimoe",
        _LLAMA_LIKE | _LOCAL_EXPERTS,
        intermediate_size=32,
        original_max_position_embeddings=128,
        rope_scaling={
            "type": "longrope",
            "long_factor": [1.0 + 0.25 * i for i in range(8)],
            "short_factor": [1.0] * 8,
            "long_mscale": 1.2,
            "short_mscale": 1.2,
            "original_max_position_embeddings": 128,
        },
    ),
    "phixtral": _plain("phixtral", _COMMON | _LOCAL_EXPERTS, num_vocab=VOCAB, model_dim=64, num_heads=4, num_layers=2, rotary_dim=8),
    "plamo": _plain("plamo", _LLAMA_LIKE, n_shared_head=2),
    "qwen": _plain("qwen", _LLAMA_LIKE, kv_channels=16, layer_norm_epsilon=1e-6),
    "qwen2": _plain("qwen2", _LLAMA_LIKE),
    "qwen2_moe": _plain("qwen2_moe", _MOE, shared_expert_intermediate_size=32),
    "qwen3": _plain("qwen3", _LLAMA_LIKE),
    "qwen3_moe": _plain("qwen3_moe", _QWEN3_MOE),
    "seed_oss": _plain("seed_oss", _LLAMA_LIKE, attention_bias=True, attention_out_bias=True),
    "smollm3": _plain("smollm3", _LLAMA_LIKE, no_rope_layer_interval=2),
    "solar_open": _plain("solar_open", _DEEPSEEK_MOE, partial_rotary_factor=1.0),
    "stablelm": _plain("stablelm", _LLAMA_LIKE, use_qkv_bias=True, partial_rotary_factor=0.25, layer_norm_eps=1e-5),
    "stablelm_parallel": _plain(
        "stablelm",
        _LLAMA_LIKE,
        use_qkv_bias=False,
        partial_rotary_factor=0.25,
        layer_norm_eps=1e-5,
        use_parallel_residual=True,
        qk_layernorm=True,
    ),
    "starcoder2": _plain("starcoder2", _LLAMA_LIKE, norm_epsilon=1e-5, tie_word_embeddings=True),
    "talkie": _plain("talkie", _LLAMA_LIKE),
    "telechat3": _plain("telechat3", _LLAMA_LIKE, rope_scaling=_YARN | {"type": "telechat3-yarn"}),
    # Wrappers of the above.
    "pixtral": _wrapped("pixtral", _LLAMA_LIKE | {"model_type": "llama"}),
    "qwen2_vl": _wrapped("qwen2_vl", _LLAMA_LIKE | {"model_type": "qwen2"}),
    "qwen3_vl": _wrapped("qwen3_vl", _LLAMA_LIKE | {"model_type": "qwen3"}),
    "qwen3_vl_moe": _wrapped("qwen3_vl_moe", _QWEN3_MOE | {"model_type": "qwen3_moe"}),
    "mistral3": _wrapped("mistral3", _LLAMA_LIKE | {"model_type": "mistral"}),
}

# Windows, chunks, loops and attention sinks.
_WINDOWED = {
    "afmoe": _plain("afmoe", _MOE | _SLIDING, num_shared_experts=1, num_dense_layers=2, route_scale=1.0, embedding=0.1),
    "cohere2": _plain("cohere2", _SLIDING, layer_norm_eps=1e-5, logit_scale=1.0, sliding_window_pattern=2),
    "exaone4": _plain("exaone4", _SLIDING, rope_scaling=None, sliding_window_pattern="LLGL"),
    "exaone_moe": _plain(
        "exaone_moe", _MOE | _SLIDING, num_shared_experts=1, n_group=2, topk_group=1, is_moe_layer=[False, True, True, True]
    ),
    "gemma3": _wrapped("gemma3", _GEMMA3, embedding=0.1),
    "gemma3_text": _plain("gemma3_text", _GEMMA3, embedding=0.1),
    "gemma4": _wrapped("gemma4", _GEMMA4 | {"num_kv_shared_layers": 2}, embedding=0.1),
    "gemma4_text": _plain("gemma4_text", _GEMMA4, num_kv_shared_layers=2, embedding=0.1),
    "gemma4_text_moe": _plain(
        "gemma4_text",
        _GEMMA4,
        hidden_size_per_layer_input=0,
        attention_k_eq_v=True,
        num_global_key_value_heads=1,
        enable_moe_block=True,
        num_experts=4,
        top_k_experts=2,
        moe_intermediate_size=32,
        embedding=0.1,
    ),
    "gemma3n": _wrapped(
        "gemma3n",
        _GEMMA
        | {
            "model_type": "gemma3n_text",
            "num_hidden_layers": 4,
            "num_kv_shared_layers": 2,
            "layer_types": _ALTERNATING,
            "vocab_size_per_layer_input": VOCAB,
            "hidden_size_per_layer_input": 16,
            "rope_local_base_freq": 1000.0,
            "activation_sparsity_pattern": [0.5, 0.5, 0.0, 0.0],
            "altup_num_inputs": 2,
            "altup_coef_clip": 120.0,
            "altup_correct_scale": True,
            "altup_active_idx": 0,
            "laurel_rank": 8,
        },
        embedding=0.1,
        note="without a cache its later layers use their own keys and values instead of the shared ones: other logits",
    ),
    "gpt_oss": _plain("gpt_oss", _SLIDING | _LOCAL_EXPERTS, intermediate_size=32, rope_scaling=_YARN | {"rope_type": "yarn"}),
    "iquestloopcoder": _plain("iquestloopcoder", _LLAMA_LIKE, loop_num=2, loop_window_size=_WINDOW),
    "laguna": _plain(
        "laguna",
        _MOE | _SLIDING,
        num_attention_heads_per_layer=[4, 2, 4, 2],
        shared_expert_intermediate_size=32,
        rope_parameters={
            "full_attention": _YARN | {"rope_theta": 10000.0, "partial_rotary_factor": 0.5},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0},
        },
    ),
    "llama_sliding": _plain("llama", _SLIDING),
    "llama4": _wrapped(
        "llama4",
        _LLAMA_LIKE
        | {
            "model_type": "llama4_text",
            "num_hidden_layers": 4,
            "attention_chunk_size": _WINDOW,
            "interleave_moe_layer_step": 2,
            "intermediate_size_mlp": 96,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "rope_scaling": None,
            "use_qk_norm": True,
            "floor_scale": 8,
            "attn_scale": 0.5,
        },
    ),
    "mellum": _plain(
        "mellum",
        _MOE | _SLIDING,
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 10000.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1000.0},
        },
    ),
    "mimo_v2_flash": _plain(
        "mimo_v2_flash",
        _DEEPSEEK_MOE,
        num_hidden_layers=4,
        hybrid_layer_pattern=[0, 1, 0, 1],
        moe_layer_freq=[0, 1, 1, 0],
        add_swa_attention_sink_bias=True,
        add_full_attention_sink_bias=True,
        sliding_window_size=_WINDOW,
        layernorm_epsilon=1e-5,
        swa_rope_theta=1000.0,
        swa_num_attention_heads=4,
        swa_num_key_value_heads=1,
        v_head_dim=8,
        swa_head_dim=16,
        swa_v_head_dim=8,
        partial_rotary_factor=0.5,
        attention_value_scale=0.7,
    ),
    "ministral3": _plain("ministral3", _SLIDING, rope_parameters=_YARN_SCALED_QUERIES),
    "mistral3_ministral3": _wrapped(
        "mistral3",
        _SLIDING | {"model_type": "ministral3", "rope_parameters": _YARN_SCALED_QUERIES},
        note="its sliding layers have plain KV caches, the window is in the mask alone",
    ),
    "muse_glimmer": _plain(
        "muse_glimmer",
        _SLIDING,
        layer_types=["sliding_attention", "sliding_attention", "sliding_attention", "full_attention"],
        layer_rope_theta=[10000.0, 10000.0, 10000.0, 0],
        post_norm_eps=1e-8,
        output_multiplier=1.0,
        final_logit_softcapping=20.0,
    ),
    "olmo3": _plain("olmo3", _SLIDING),
    "plamo3": _plain(
        "plamo3",
        _SLIDING,
        window_size=_WINDOW,
        sliding_window_pattern=2,
        note="inconsistent once its window is full: its mask lets 9 tokens through, its cache keeps 8, so chunks change the logits",
    ),
    "plamo3_wide": _plain("plamo3", _SLIDING, sliding_window=256, window_size=256, sliding_window_pattern=2),
    "spark2_5": _plain(
        "spark2_5",
        _SLIDING,
        hidden_act="gelu",
        rope_parameters={
            "full_attention": {"rope_theta": 10000.0, "partial_rotary_factor": 0.5},
            "sliding_attention": {"rope_theta": 1000.0},
        },
    ),
    "step3p5": _plain(
        "step3p5",
        _SLIDING,
        num_attention_groups=2,
        attention_other_setting={"num_attention_heads": 6, "num_attention_groups": 3},
        moe_num_experts=4,
        moe_top_k=2,
        moe_intermediate_size=32,
        share_expert_dim=32,
        moe_layers_enum="2,3",
        moe_router_scaling_factor=1.0,
        rope_theta=[10000.0, 1000.0, 10000.0, 1000.0],
        swiglu_limits=[0.0, 0.0, 0.0, 7.0],
        swiglu_limits_shared=[0.0, 0.0, 0.0, 7.0],
    ),
}

# Later layers read the keys and values of earlier ones.
_SHARED_KV = {
    "afm7": _plain("afm7", _COMMON, hidden_dim=64, num_layers=4, num_kv_reuse_layers=2, num_heads=4, num_kv_heads=2),
    "hunyuan": _plain(
        "hunyuan",
        _LLAMA_LIKE,
        num_hidden_layers=4,
        intermediate_size=32,
        moe_topk=2,
        num_experts=4,
        num_shared_expert=1,
        use_mixed_mlp_moe=True,
        use_qk_norm=True,
        use_cla=True,
        cla_share_factor=2,
        rope_scaling={"alpha": 1000.0, "factor": 1.0, "type": "dynamic"},
    ),
}

# Multi-head latent attention: the cache holds a latent and a rotary part, or a pair of caches per layer.
_LATENT_ATTENTION = {
    "deepseek_v2": _plain("deepseek_v2", _DEEPSEEK, rope_scaling=_YARN),
    "deepseek_v3": _plain("deepseek_v3", _DEEPSEEK, rope_scaling=_YARN),
    "deepseek_v32": _plain("deepseek_v32", _DEEPSEEK | _SPARSE_INDEX, rope_scaling=_YARN),
    "deepseek_v32_dense": _plain("deepseek_v32", _DEEPSEEK | _SPARSE_INDEX, index_topk=512),
    "deepseek_v41": _plain("deepseek_v41", _DEEPSEEK_V41),
    "deepseek_v41_uncompressed": _plain(
        "deepseek_v41",
        _DEEPSEEK_V41,
        compress_ratios=[0, 4, 4, 1],
        kv_source_layer_ids=[1, 3],
        index_source_layer_ids=[1, 3],
        candidate_source_layer_id=3,
    ),
    "glm4_moe_lite": _plain("glm4_moe_lite", _DEEPSEEK),
    "glm_moe_dsa": _plain("glm_moe_dsa", _DEEPSEEK | _SPARSE_INDEX, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "kimi_k25": _wrapped("kimi_k25", _DEEPSEEK | {"model_type": "deepseek_v3"}),
    "kimi_vl": _wrapped("kimi_vl", _DEEPSEEK | {"model_type": "deepseek_v3"}),
    "longcat_flash": _plain("longcat_flash", _LONGCAT),
    "longcat_flash_ngram": _plain("longcat_flash_ngram", _LONGCAT, ngram_vocab_size_ratio=3, emb_neighbor_num=3, emb_split_num=2),
    "minicpm3": _plain(
        "minicpm3",
        _LLAMA_LIKE | _LATENT,
        dim_model_base=64,
        scale_depth=1.4,
        scale_emb=1.0,
        rope_scaling={"type": "longrope", "long_factor": [1.0, 1.25, 1.5, 1.75], "original_max_position_embeddings": 128},
    ),
    "minimax_m3_vl": _wrapped(
        "minimax_m3_vl",
        _LLAMA_LIKE
        | _LOCAL_EXPERTS
        | {
            "num_hidden_layers": 3,
            "intermediate_size": 32,
            "dense_intermediate_size": 96,
            "shared_intermediate_size": 32,
            "moe_layer_freq": [0, 1, 1],
            "sparse_attention_config": {
                "sparse_num_index_heads": 2,
                "sparse_index_dim": 16,
                "sparse_block_size": 4,
                "sparse_topk_blocks": 3,
                "sparse_local_block": 1,
                "sparse_attention_freq": [0, 1, 1],
            },
        },
    ),
    "mistral3_mistral4": _wrapped("mistral3", _MISTRAL4 | {"model_type": "mistral4"}),
    "mistral4": _plain("mistral4", _MISTRAL4),
    "youtu_llm": _plain("youtu_llm", _LLAMA_LIKE | _LATENT),
}

# Recurrent states, alone or beside attention layers.
_RECURRENT = {
    "baichuan_m1": _plain(
        "baichuan_m1",
        _LLAMA_LIKE,
        num_hidden_layers=4,
        sliding_window=_WINDOW,
        sliding_window_layers=[0, 2],
        conv_window=2,
        note="loading a checkpoint scales each row of the head to length 1, so a saved and loaded model has other logits than build's",
    ),
    "bailing_hybrid": _plain(
        "bailing_hybrid", _BAILING | _LATENT, layer_group_size=2, group_norm_size=2, head_dim=16, partial_rotary_factor=0.5
    ),
    "bailing_moe_linear": _plain("bailing_moe_linear", _BAILING, layer_group_size=2, group_norm_size=2, use_qk_norm=True),
    "bailing_moe_v3": _plain(
        "bailing_hybrid", _BAILING | _LATENT, architectures=["BailingMoeV3ForCausalLM"], layer_group_size=2, short_conv_kernel_size=4
    ),
    "falcon_h1": _plain(
        "falcon_h1", _LLAMA_LIKE | _MAMBA, mamba_d_ssm=64, mamba_n_groups=2, mamba_rms_norm=True, lm_head_multiplier=1.0, embedding=0.1
    ),
    "falcon_mamba": _plain(
        "falcon_mamba",
        _COMMON,
        hidden_size=64,
        intermediate_size=96,
        state_size=8,
        num_hidden_layers=2,
        conv_kernel=4,
        use_bias=False,
        use_conv_bias=True,
        time_step_rank=4,
    ),
    "gear": _plain(
        "gear", _SLIDING, conv_L_cache=3, layer_types=["conv_mixer", "sliding_attention", "conv_mixer", "full_attention"], embedding=0.1
    ),
    "granitemoehybrid": _plain(
        "granitemoehybrid",
        _LLAMA_LIKE | _GRANITE | _MAMBA | _LOCAL_EXPERTS,
        num_hidden_layers=4,
        intermediate_size=32,
        shared_intermediate_size=32,
        layer_types=["mamba", "attention", "mamba", "attention"],
    ),
    "granitemoehybrid_dense": _plain(
        "granitemoehybrid",
        _LLAMA_LIKE | _GRANITE | _MAMBA,
        layer_types=["mamba", "attention"],
        position_embedding_type="nope",
        shared_intermediate_size=96,
    ),
    "jamba": _plain(
        "jamba",
        _MOE,
        num_hidden_layers=4,
        attn_layer_offset=1,
        attn_layer_period=2,
        expert_layer_offset=1,
        expert_layer_period=2,
        mamba_d_conv=4,
        mamba_d_state=8,
        mamba_expand=2,
    ),
    "kimi_k3": _wrapped(
        "kimi_k3",
        _LLAMA_LIKE
        | _LATENT
        | {
            "model_type": "kimi_linear",
            "num_hidden_layers": 4,
            "hidden_act": "situ",
            "activation_situ_beta": 4.0,
            "activation_situ_linear_beta": 25.0,
            "linear_attn_config": _KIMI_LINEAR | {"gate_lower_bound": -5.0, "use_full_rank_gate": True},
            "attn_res_block_size": 2,
            "mla_use_output_gate": True,
            "num_experts": 4,
            "num_experts_per_token": 2,
            "num_shared_experts": 1,
            "moe_intermediate_size": 32,
            "first_k_dense_replace": 1,
            "routed_expert_hidden_size": 32,
            "latent_moe_use_norm": True,
        },
    ),
    "kimi_linear": _plain(
        "kimi_linear",
        _LLAMA_LIKE | _LATENT,
        num_hidden_layers=4,
        linear_attn_config=_KIMI_LINEAR,
        model_max_length=512,
        num_experts=4,
        num_experts_per_token=2,
        num_shared_experts=1,
        moe_intermediate_size=32,
        first_k_dense_replace=1,
    ),
    "lfm2": _plain("lfm2", _LFM2_DENSE),
    "lfm2-vl": _wrapped("lfm2-vl", _LFM2_DENSE | {"model_type": "lfm2"}),
    "lfm2_moe": _plain("lfm2_moe", _MOE | _LFM2, use_expert_bias=True, num_dense_layers=1),
    "mamba": _plain(
        "mamba",
        _COMMON,
        hidden_size=64,
        intermediate_size=96,
        state_size=8,
        num_hidden_layers=2,
        conv_kernel=4,
        use_bias=False,
        use_conv_bias=True,
        time_step_rank=4,
    ),
    "mamba2": _plain(
        "mamba2",
        _COMMON,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_heads=8,
        head_dim=16,
        state_size=16,
        n_groups=2,
        conv_kernel=4,
        layer_norm_epsilon=1e-5,
        use_bias=False,
        use_conv_bias=True,
        tie_word_embeddings=True,
        time_step_limit=[0.01, 10.0],
        time_step_rank="auto",
    ),
    "nemotron_h": _plain(
        "nemotron_h",
        _DEEPSEEK_MOE,
        hybrid_override_pattern=["M", "-", "*", "E", "M", "*"],
        mamba_num_heads=4,
        mamba_head_dim=16,
        mamba_proj_bias=False,
        ssm_state_size=16,
        conv_kernel=4,
        n_groups=2,
        layer_norm_epsilon=1e-5,
        use_bias=False,
        use_conv_bias=True,
        time_step_limit=[0.001, 100.0],
        moe_shared_expert_intermediate_size=32,
    ),
    "olmo_hybrid": _plain(
        "olmo_hybrid",
        _LLAMA_LIKE | _DELTA,
        num_hidden_layers=4,
        linear_allow_neg_eigval=True,
        layer_types=["linear_attention", "full_attention"] * 2,
    ),
    "plamo2": _plain(
        "plamo2",
        _LLAMA_LIKE,
        num_hidden_layers=4,
        hidden_size_per_head=16,
        mamba_d_state=16,
        mamba_d_conv=4,
        mamba_num_heads=4,
        mamba_step=2,
    ),
    "prism_hadamard_qwen35": _wrapped(
        "prism_hadamard_qwen35",
        _QWEN3_5 | {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 2},
        schema_version=1,
        tensor_namespace="mlx-lm-text",
        quantization={"bits": 2, "group_size": 128, "mode": "affine"},
        modules=[
            {"path": f"model.layers.{layer}.mlp.{name}", "embedding": False, "dtype": "float16", "block": block}
            for layer in range(2)
            for name, block in (("gate_proj", 0), ("up_proj", 0), ("down_proj", 512))
        ],
    ),
    "qwen3_5": _plain("qwen3_5", _QWEN3_5),
    "qwen3_5_moe": _wrapped(
        "qwen3_5_moe",
        _MOE | _QWEN3_5 | {"model_type": "qwen3_5_moe_text", "shared_expert_intermediate_size": 32},
    ),
    "qwen3_next": _plain("qwen3_next", _QWEN_HYBRID),
    "recurrent_gemma": _plain(
        "recurrent_gemma",
        _LLAMA_LIKE,
        num_hidden_layers=3,
        conv1d_width=4,
        logits_soft_cap=30.0,
        attention_window_size=_WINDOW,
        block_types=["recurrent", "recurrent", "attention"],
        embedding=0.1,
    ),
    "rwkv7": _plain(
        "rwkv7",
        _LLAMA_LIKE,
        norm_eps=1e-5,
        a_low_rank_dim=16,
        v_low_rank_dim=16,
        gate_low_rank_dim=16,
        decay_low_rank_dim=16,
    ),
}

ARCHITECTURES: dict[str, Architecture] = _FULL_ATTENTION | _WINDOWED | _SHARED_KV | _LATENT_ATTENTION | _RECURRENT

BROKEN: dict[str, str] = {
    "bitnet": "its linear layers exist as a Metal kernel only",
    "muse_spark": "its norms, rope and routing exist as Metal kernels only (mlx_lm.kernels); it also computes in bfloat16",
    "olmo": "importing it ends the process (sys.exit) without the package ai2-olmo; with that it adds the mask's name to the scores",
    "phi3small": (
        "its block-sparse layers add the boolean mask to the scores, so they see the future and chunks change the logits; "
        "it also writes to the logits of tokens from 100256 on, out of bounds with a small vocabulary"
    ),
}

# For build: factors on matrices that would keep the size of their input, and the logits' size in models with tied embeddings.
_GAIN = 1.5
_HEAD_GAIN = 4.0
_TIED_GAIN = 0.5

# Ranges for parameters that are no plain matrices, by the end of their names; those that mlx-lm sets to zero would do nothing,
# and recurrent states would forget within a few tokens.
_RANGES: dict[str, tuple[float, float]] = {
    "sinks": (-1.0, 1.0),
    "attention_sink_bias": (-1.0, 1.0),
    "e_score_correction_bias": (-0.1, 0.1),
    "expert_bias": (-0.1, 0.1),
    "router_bias": (-0.1, 0.1),
    "correct_output_scale": (0.5, 1.5),
    "embed_skip.a_g": (0.1, 0.3),
    "dt_bias": (-4.0, -2.0),
    "dt_proj.bias": (-4.0, -2.0),
    "recurrent_param": (-4.0, -1.0),
    "conv_k": (-1.0, 1.0),
    "conv_v": (-1.0, 1.0),
    "w_lora.lora.2.bias": (-5.0, -2.0),
    **{f".x_{part}": (0.0, 1.0) for part in "rwkvag"},
    "k_k": (0.5, 1.5),
    "k_a": (0.5, 1.5),
    "r_k": (-0.5, 0.5),
    "g_norm.weight": (0.5, 1.5),
}


def build(architecture: Architecture, seed: int = 7) -> "nn.Module":
    """The model with random float32 weights, evaluated; the same for the same seed.

    mlx-lm's initial weights give almost constant logits, and zeros where a checkpoint is expected to fill them in (routers, for
    one). So all matrices are drawn anew, in sizes that make greedy tokens depend on the whole prompt.
    """
    # Imported here: the tables above are also for processes that must not load MLX.
    import mlx.core as mx  # noqa: PLC0415
    from mlx import nn  # noqa: PLC0415
    from mlx.utils import tree_flatten, tree_unflatten  # noqa: PLC0415
    from mlx_lm.utils import _get_classes  # noqa: PLC0415

    mx.random.seed(seed)
    random = np.random.default_rng(seed)
    config = copy.deepcopy(architecture.config)  # some classes write to it
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))

    embeddings = {f"{path}.weight" for path, module in model.named_modules() if isinstance(module, nn.Embedding)}
    parameters = [(name, value) for name, value in tree_flatten(model.parameters()) if mx.issubdtype(value.dtype, mx.floating)]
    has_head = any(_is_head(value.shape) and name not in embeddings for name, value in parameters)
    drawn = []
    for name, value in parameters:
        if name in embeddings:
            new = architecture.embedding * random.standard_normal(value.shape)
        elif not has_head and _is_final_norm(name, value.shape):
            # Random signs: with tied embeddings the logits would else just find the last token again.
            new = random.choice([-1.0, 1.0], value.shape) * _TIED_GAIN / architecture.embedding
        else:
            new = _draw(name, value.shape, random)
        drawn.append((name, value.astype(mx.float32) if new is None else mx.array(new.astype(np.float32))))
    model.update(tree_unflatten(drawn))
    for module in model.modules():
        if "scales" in module:  # the packed layers of prism_hadamard_qwen35
            shape = (module.weight.shape[0], module.scales.shape[1] * module.group_size)
            matrix = mx.array((random.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32))
            module.weight, module.scales, module.biases = mx.quantize(matrix, module.group_size, module.bits)
    model.eval()
    mx.eval(model.parameters())
    return model


def _draw(name: str, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray | None:
    """New values for a parameter, or None to keep the model's own."""
    for ending, (low, high) in _RANGES.items():
        if name.endswith(ending):
            return random.uniform(low, high, shape)
    if len(shape) < 2 or name.endswith("A_log"):
        return None
    if name.endswith("bias"):
        return random.uniform(-0.1, 0.1, shape)
    module = name.rpartition(".")[0].rpartition(".")[2]
    if "norm" in module or name.endswith((".q_weight", ".k_weight")):
        return random.uniform(0.5, 1.5, shape)
    inputs = np.prod(shape[1:]) if "conv" in module else shape[-1]
    return random.standard_normal(shape) * (_HEAD_GAIN if _is_head(shape) else _GAIN) / np.sqrt(inputs)


def _is_head(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and shape[0] == VOCAB


def _is_final_norm(name: str, shape: tuple[int, ...]) -> bool:
    elsewhere = "per_layer" in name or any(part.isdigit() for part in name.split("."))
    return len(shape) == 1 and not elsewhere and name.endswith(("norm.weight", "norm_f.weight", "ln_f.weight"))
