"""The fields that requests carry to any API, and no answer depends on; and sampling that mlxd has not, with what switches it off."""

from mlxd.api.fields.tolerance import ANY, BOOLEAN, NUMBER, OBJECT, OFF, TEXT, Rules, hint, only

_CACHING = "Prompts that begin alike are cached whether or not somebody asks."
_BILLING = "It is about a provider's prices."
_WHOSE = "It is about whose request it is."
_ELSEWHERE = "Which hardware or provider computes is the operator's choice."

HINTS: Rules = {
    "user": hint(TEXT, _WHOSE),
    "metadata": hint(OBJECT, _WHOSE),
    "safety_identifier": hint(TEXT, _WHOSE),
    "store": hint(BOOLEAN, "No answer is stored, and nothing offers stored ones."),
    "prompt_cache_key": hint(TEXT, _CACHING),
    "prompt_cache_retention": hint(TEXT, _CACHING),
    "prompt_cache_options": hint(OBJECT, _CACHING),
    "cache_control": hint(OBJECT, _CACHING),
    "prompt_cache_breakpoint": hint(OBJECT, _CACHING),
    "cache_prompt": hint(BOOLEAN, _CACHING),
    "cache_salt": only(why="It would keep this prompt's cache apart."),
    "service_tier": hint(TEXT, _BILLING),
    "inference_geo": hint(TEXT, _ELSEWHERE),
    "provider": hint(OBJECT, _ELSEWHERE),
    "usage": hint(OBJECT, "Usage is always in the answer."),
    "request_id": hint(TEXT, "The header X-Request-Id names a request."),
    "session_id": hint(TEXT, _WHOSE),
    "trace": hint(OBJECT, _WHOSE),
    "litellm_metadata": hint(OBJECT, _WHOSE),
    "drop_params": hint(BOOLEAN, "It has LiteLLM leave out what a provider does not know; RAGFlow says it to all."),
    "ttl": hint(NUMBER, "How long a model stays loaded is in the configuration."),
    "keep_alive": hint(ANY, "How long a model stays loaded is in the configuration."),
    "id_slot": hint(NUMBER, _CACHING),
    "timings_per_token": hint(BOOLEAN, "Timings are in metrics and traces."),
    "return_progress": hint(BOOLEAN, "A stream shows that it lives by comments."),
    "guided_decoding_backend": hint(TEXT, "There is one."),
    "prediction": hint(OBJECT, "It may make an answer quicker, never another one."),
}

# Sampling that mlxd has not, with the values that switch it off.
SAMPLERS: Rules = {
    "length_penalty": only(1),
    "early_stopping": OFF,
    "use_beam_search": OFF,
    "num_beams": only(1),
    "xtc_probability": only(0),
    "xtc_threshold": only(0, 0.1),
    "typical_p": only(1),
    "typical": only(1),
    "tfs": only(1),
    "tfs_z": only(1),
    "top_a": only(0),
    "epsilon_cutoff": only(0),
    "eta_cutoff": only(0),
    "mirostat": only(0),
    "mirostat_mode": only(0),
    "mirostat_tau": hint(NUMBER, "It matters with mirostat only."),
    "mirostat_eta": hint(NUMBER, "It matters with mirostat only."),
    "dry_multiplier": only(0),
    "dry_base": hint(NUMBER, "It matters with dry_multiplier only."),
    "dry_allowed_length": hint(NUMBER, "It matters with dry_multiplier only."),
    "dry_penalty_last_n": hint(NUMBER, "It matters with dry_multiplier only."),
    "dry_sequence_breakers": hint(ANY, "It matters with dry_multiplier only."),
    "dynatemp_range": only(0),
    "dynatemp_exponent": hint(NUMBER, "It matters with dynatemp_range only."),
    "smoothing_factor": only(0),
    "no_repeat_ngram_size": only(0),
    "top_n_sigma": only(-1, 0),
    "repeat_last_n": only(-1),
    "repetition_context_size": only(-1),
    "allowed_token_ids": only([]),
    "bad_words": only([]),
    "logits_processors": only([]),
}
