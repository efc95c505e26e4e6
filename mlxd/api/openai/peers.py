"""What other servers do with the fields of a request, for ``docs/compatibility.md``: read in their own sources and references, and left
unknown where these do not say.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

UNKNOWN = "unknown"
YES = "yes"
IGNORED = "ignored"
REFUSED = "refused"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A server. ``others`` is what it does with the fields that are not named here."""

    name: str
    source: str  # where it was read
    others: str
    chat: Collection[str]  # obeyed in chats
    completions: Collection[str]  # obeyed in text completions
    notes: Mapping[str, str] = field(default_factory=dict)  # of fields that it treats in a way of its own, in either

    def does(self, name: str, *, chat: bool) -> str:
        """Returns what the server does with a field, in a word or a few."""
        obeyed = name in (self.chat if chat else self.completions)
        note = self.notes.get(name)
        if note in (REFUSED, UNKNOWN) or (note and not obeyed):
            return note
        return f"{YES}; {note}" if note else YES if obeyed else self.others


_EVERYWHERE = frozenset({"model", "stream", "max_tokens", "stop", "temperature", "top_p"})
_PENALTIES = frozenset({"presence_penalty", "frequency_penalty"})

OPENAI = Peer(
    name="OpenAI",
    source="its API reference",
    others=REFUSED,
    chat={
        *_EVERYWHERE,
        *_PENALTIES,
        *("messages", "stream_options", "max_completion_tokens", "n", "seed", "logit_bias", "logprobs", "top_logprobs"),
        *("response_format", "tools", "tool_choice", "parallel_tool_calls", "functions", "function_call", "reasoning_effort"),
        *("verbosity", "modalities", "audio", "prediction", "web_search_options", "user", "metadata", "store", "service_tier"),
        *("safety_identifier", "prompt_cache_key", "prompt_cache_retention"),
    },
    completions={
        *_EVERYWHERE,
        *_PENALTIES,
        *("prompt", "n", "best_of", "echo", "logprobs", "logit_bias", "seed", "stream_options", "suffix", "user"),
    },
    notes={"stop": "at most 4"},
)

VLLM_MLX = Peer(
    name="vllm-mlx",
    source="`vllm_mlx/api/models.py`",
    others=IGNORED,
    chat={
        *_EVERYWHERE,
        *("messages", "top_k", "min_p", "presence_penalty", "repetition_penalty", "stream_options", "tools", "tool_choice"),
        *("response_format", "enable_thinking"),
    },
    completions={*_EVERYWHERE, "prompt", "top_k", "min_p", "presence_penalty", "repetition_penalty"},
    notes={"stop": "an array only", "prompt": "texts only"},
)

MLX_LM = Peer(
    name="mlx_lm.server",
    source="`mlx_lm/server.py` of 0.32.2",
    others=IGNORED,
    chat={
        *_EVERYWHERE,
        *_PENALTIES,
        *("messages", "stream_options", "max_completion_tokens", "top_k", "min_p", "repetition_penalty", "repetition_context_size"),
        *("logit_bias", "logprobs", "top_logprobs", "seed", "tools", "chat_template_kwargs", "xtc_probability", "xtc_threshold"),
        *("adapters", "draft_model", "num_draft_tokens"),
    },
    completions={
        *_EVERYWHERE,
        *_PENALTIES,
        *("prompt", "stream_options", "max_completion_tokens", "top_k", "min_p", "repetition_penalty", "repetition_context_size"),
        *("logit_bias", "logprobs", "top_logprobs", "seed", "xtc_probability", "xtc_threshold"),
        *("adapters", "draft_model", "num_draft_tokens"),
    },
    notes={"top_logprobs": "at most 11", "prompt": "one text", "max_tokens": "512 by default"},
)

OLLAMA = Peer(
    name="Ollama",
    source="`openai/openai.go` and its documentation",
    others=IGNORED,
    chat={
        *_EVERYWHERE,
        *_PENALTIES,
        *("messages", "stream_options", "seed", "response_format", "tools", "reasoning", "reasoning_effort", "logprobs"),
    },
    completions={*_EVERYWHERE, *_PENALTIES, "prompt", "stream_options", "seed", "suffix"},
    notes={"prompt": "one text", **dict.fromkeys(("top_logprobs", "tool_choice", "n", "logit_bias", "max_completion_tokens"), UNKNOWN)},
)

_LLAMA_SAMPLING = frozenset(
    {
        *("top_k", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold", "dynatemp_range", "dynatemp_exponent"),
        *("repeat_penalty", "repeat_last_n", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n"),
        *("dry_sequence_breakers", "mirostat", "mirostat_tau", "mirostat_eta", "seed", "logit_bias", "ignore_eos", "grammar"),
        *("json_schema", "n", "logprobs", "cache_prompt", "return_progress", "timings_per_token", "id_slot", "stream_options"),
    }
)

LLAMA_CPP = Peer(
    name="llama.cpp",
    source="`tools/server/server-task.cpp` and `utils.hpp`; what else it takes was not read",
    others=UNKNOWN,
    chat={
        *_EVERYWHERE,
        *_PENALTIES,
        *_LLAMA_SAMPLING,
        *("messages", "top_logprobs", "response_format", "tools", "tool_choice", "parallel_tool_calls", "chat_template_kwargs"),
        *("add_generation_prompt", "reasoning_format", "thinking_forced_open", "parse_tool_calls"),
    },
    completions={*_EVERYWHERE, *_PENALTIES, *_LLAMA_SAMPLING, "prompt"},
    notes={
        "best_of": REFUSED,
        "suffix": REFUSED,
        "echo": REFUSED,
        "n": "1 only in older versions",
        "logprobs": "in a shape of its own for completions",
        "id_slot": "which slot computes it",
    },
)

PEERS = (OPENAI, VLLM_MLX, MLX_LM, OLLAMA, LLAMA_CPP)
