"""Multi-head latent attention: the cache holds a latent and a rotary part, or a pair of caches per layer."""

from tests.support.architectures.architecture import Architecture, plain, wrapped
from tests.support.architectures.fields import (
    DEEPSEEK,
    DEEPSEEK_V41,
    LATENT,
    LLAMA_LIKE,
    LOCAL_EXPERTS,
    LONGCAT,
    MISTRAL4,
    SPARSE_INDEX,
    YARN,
)

LATENT_ATTENTION: dict[str, Architecture] = {
    "deepseek_v2": plain("deepseek_v2", DEEPSEEK, rope_scaling=YARN),
    "deepseek_v3": plain("deepseek_v3", DEEPSEEK, rope_scaling=YARN),
    "deepseek_v32": plain("deepseek_v32", DEEPSEEK | SPARSE_INDEX, rope_scaling=YARN),
    "deepseek_v32_dense": plain("deepseek_v32", DEEPSEEK | SPARSE_INDEX, index_topk=512),
    "deepseek_v41": plain("deepseek_v41", DEEPSEEK_V41),
    "deepseek_v41_uncompressed": plain(
        "deepseek_v41",
        DEEPSEEK_V41,
        compress_ratios=[0, 4, 4, 1],
        kv_source_layer_ids=[1, 3],
        index_source_layer_ids=[1, 3],
        candidate_source_layer_id=3,
    ),
    "glm4_moe_lite": plain("glm4_moe_lite", DEEPSEEK),
    "glm_moe_dsa": plain("glm_moe_dsa", DEEPSEEK | SPARSE_INDEX, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "kimi_k25": wrapped("kimi_k25", DEEPSEEK | {"model_type": "deepseek_v3"}),
    "kimi_vl": wrapped("kimi_vl", DEEPSEEK | {"model_type": "deepseek_v3"}),
    "longcat_flash": plain("longcat_flash", LONGCAT),
    "longcat_flash_ngram": plain("longcat_flash_ngram", LONGCAT, ngram_vocab_size_ratio=3, emb_neighbor_num=3, emb_split_num=2),
    "minicpm3": plain(
        "minicpm3",
        LLAMA_LIKE | LATENT,
        dim_model_base=64,
        scale_depth=1.4,
        scale_emb=1.0,
        rope_scaling={"type": "longrope", "long_factor": [1.0, 1.25, 1.5, 1.75], "original_max_position_embeddings": 128},
    ),
    "minimax_m3_vl": wrapped(
        "minimax_m3_vl",
        LLAMA_LIKE
        | LOCAL_EXPERTS
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
    "mistral3_mistral4": wrapped("mistral3", MISTRAL4 | {"model_type": "mistral4"}),
    "mistral4": plain("mistral4", MISTRAL4),
    "youtu_llm": plain("youtu_llm", LLAMA_LIKE | LATENT),
}
