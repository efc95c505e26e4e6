"""Fields of config.json that architectures share: layers small enough to compute in a moment, windows that a short prompt already wraps."""

from typing import Any

from tests.support.tiny_model import BOS, EOS, VOCAB

WINDOW = 8
ALTERNATING = ["sliding_attention", "full_attention"] * 2

COMMON: dict[str, Any] = {
    "vocab_size": VOCAB,
    "bos_token_id": BOS,
    "eos_token_id": EOS,
    "max_position_embeddings": 512,
}
LLAMA_LIKE: dict[str, Any] = COMMON | {
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
GPT_LIKE: dict[str, Any] = COMMON | {
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_inner": 128,
    "n_ctx": 512,
    "n_positions": 512,
    "layer_norm_epsilon": 1e-5,
}
SLIDING: dict[str, Any] = LLAMA_LIKE | {"num_hidden_layers": 4, "sliding_window": WINDOW, "layer_types": ALTERNATING}
# One layer of each kind, for those that are like another one with two.
SLIDING_ONCE: dict[str, Any] = SLIDING | {"num_hidden_layers": 2, "layer_types": ALTERNATING[:2]}
MOE: dict[str, Any] = LLAMA_LIKE | {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "norm_topk_prob": True,
}
LOCAL_EXPERTS: dict[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 2}
DEEPSEEK_MOE: dict[str, Any] = LLAMA_LIKE | {
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
LATENT: dict[str, Any] = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 16,
}
DEEPSEEK: dict[str, Any] = DEEPSEEK_MOE | LATENT
YARN: dict[str, Any] = {
    "type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 128,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}
# Queries grow with the position, a step every 16 tokens.
YARN_SCALED_QUERIES: dict[str, Any] = YARN | {
    "rope_theta": 10000.0,
    "original_max_position_embeddings": 16,
    "llama_4_scaling_beta": 0.5,
}
MISTRAL4: dict[str, Any] = DEEPSEEK | {"head_dim": None, "rope_parameters": YARN_SCALED_QUERIES}
SPARSE_INDEX: dict[str, Any] = {"index_head_dim": 16, "index_n_heads": 2, "index_topk": 6}
MAMBA: dict[str, Any] = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 16,
    "mamba_d_conv": 4,
    "mamba_n_groups": 1,
    "mamba_proj_bias": False,
    "mamba_conv_bias": True,
}
DELTA: dict[str, Any] = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_conv_kernel_dim": 4,
}
GRANITE: dict[str, Any] = {
    "logits_scaling": 1.0,
    "attention_multiplier": 0.25,
    "embedding_multiplier": 1.0,
    "residual_multiplier": 1.0,
}
GEMMA: dict[str, Any] = LLAMA_LIKE | {
    "query_pre_attn_scalar": 16,
    "sliding_window": WINDOW,
    "sliding_window_pattern": 2,
    "final_logit_softcapping": 30.0,
    "tie_word_embeddings": True,
}
GEMMA3: dict[str, Any] = GEMMA | {"model_type": "gemma3_text", "num_hidden_layers": 4, "rope_local_base_freq": 1000.0}
GEMMA4: dict[str, Any] = GEMMA | {
    "model_type": "gemma4_text",
    "num_hidden_layers": 4,
    "global_head_dim": 32,
    "num_kv_shared_layers": 0,
    "layer_types": ALTERNATING,
    "vocab_size_per_layer_input": VOCAB,
    "hidden_size_per_layer_input": 16,
    "use_double_wide_mlp": True,
}
LFM2: dict[str, Any] = LLAMA_LIKE | {
    "num_hidden_layers": 4,
    "norm_eps": 1e-5,
    "conv_bias": True,
    "conv_L_cache": 3,
    "full_attn_idxs": [1, 3],
}
LFM2_DENSE: dict[str, Any] = LFM2 | {
    "block_dim": 64,
    "block_ff_dim": 96,
    "block_multiple_of": 8,
    "block_ffn_dim_multiplier": 1.0,
    "block_auto_adjust_ff_dim": False,
}
# A layer with its window alone, one that compresses, indexes and picks candidates, one that indexes, one that reuses all.
DEEPSEEK_V41: dict[str, Any] = DEEPSEEK_MOE | {
    "num_hidden_layers": 4,
    "head_dim": 32,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "o_groups": 2,
    "o_lora_rank": 16,
    "scoring_func": "sqrtsoftplus",
    "rms_norm_eps": 1e-6,
    "sliding_window": WINDOW,
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
LONGCAT: dict[str, Any] = (
    LLAMA_LIKE
    | LATENT
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
BAILING: dict[str, Any] = MOE | {
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
QWEN3_MOE: dict[str, Any] = MOE | {"decoder_sparse_step": 1, "mlp_only_layers": [0]}
QWEN_HYBRID: dict[str, Any] = (
    QWEN3_MOE
    | DELTA
    | {
        "num_hidden_layers": 2,
        "full_attention_interval": 2,
        "shared_expert_intermediate_size": 32,
        "partial_rotary_factor": 0.5,
    }
)
QWEN3_5: dict[str, Any] = (
    LLAMA_LIKE
    | DELTA
    | {
        "num_hidden_layers": 2,
        "full_attention_interval": 2,
        "rope_parameters": {"type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    }
)
KIMI_LINEAR: dict[str, Any] = {"num_heads": 4, "head_dim": 16, "kda_layers": [1, 3], "short_conv_kernel_size": 4}
