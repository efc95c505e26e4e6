"""How much is computed, and how busy that makes the engines."""

from grafana_foundation_sdk.builders.heatmap import Panel as Heatmap
from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models import units

from grafana.promql import mean, model, quantile, rate
from grafana.style import GOOD, NEUTRAL, TOKENS, TOKENS_PER_SECOND, WARNING, Query, about, areas, colored, heat, lines, percentiles


def prompt_tokens() -> Panel:
    panel = areas("Prompt tokens by source", TOKENS_PER_SECOND, Query(rate(model("mlxd_prompt_tokens_total"), "source"), "{{source}}"))
    return colored(panel, {"computed": NEUTRAL, "cached": GOOD}).description(
        about(
            "Prompt tokens per second that had to be computed, and those the prefix cache had. Counted when a request ends.",
            normal="Much green for chats and shared system prompts.",
            otherwise="All blue where it was green: prompts begin differently, or the cache is too small.",
        )
    )


def generated_tokens() -> Panel:
    found = rate(model("mlxd_generation_tokens_total"), "model")
    return areas("Generated tokens by model", TOKENS_PER_SECOND, Query(found, "{{model}}")).description(
        about(
            "Output tokens per second, as they are generated.",
            normal="Grows with the number of running requests, up to what the machine can do.",
            otherwise="Falls while requests run: *Time of a step*.",
        )
    )


def computed_tokens() -> Panel:
    return areas(
        "Tokens computed by model", TOKENS_PER_SECOND, Query(rate(model("mlxd_step_tokens_sum"), "model"), "{{model}}")
    ).description(
        about(
            "Tokens per second through each model, of prompts and of outputs, as they are computed.",
            normal="Peaks when prompts are computed: they go through many at once.",
            otherwise="0 while requests run: the engine stands still.",
        )
    )


def guesses() -> Panel:
    queries = [
        Query(rate(model("mlxd_speculation_accepted_tokens_total")), "accepted"),
        Query(rate(model("mlxd_speculation_drafted_tokens_total")), "verified"),
    ]
    panel = colored(lines("Guessed tokens", TOKENS_PER_SECOND, *queries), {"accepted": GOOD, "verified": NEUTRAL})
    return panel.description(
        about(
            "Guesses of next tokens that steps verified, and those that were right: each saved a stream a step.",
            normal="A third accepted or more where answers repeat their prompts; both 0 where none pay, or `speculation.kind` is `off`.",
            otherwise="Next to nothing accepted for long: rows are computed in vain. Try a lower `speculation.max_tokens`, or `off`.",
        )
    )


def busy() -> Panel:
    return (
        lines("Engine busy", units.PercentUnit, Query(rate(model("mlxd_step_seconds_sum"), "model"), "{{model}}"))
        .max(1)
        .description(
            about(
                "Share of the time in which a model's engine computes.",
                normal="100 % whenever requests run: then *Sequences in a step* says how much room is left.",
                otherwise="100 % and a queue: this machine is full. Several at 100 %: the models take turns on one GPU.",
            )
        )
    )


def batch_size() -> Panel:
    queries = [Query(mean("mlxd_batch_size"), "mean"), Query(quantile(0.95, "mlxd_batch_size"), "p95")]
    return colored(lines("Sequences in a step", units.Short, *queries), {"mean": NEUTRAL, "p95": WARNING}).description(
        about(
            "How many sequences each engine step computes together.",
            normal="As many as run, up to `batching.max_sequences`.",
            otherwise="At `max_sequences` with a queue: raise it if the cache and the time between tokens allow.",
        )
    )


def step_tokens() -> Panel:
    queries = [Query(mean("mlxd_step_tokens"), "mean"), Query(quantile(0.95, "mlxd_step_tokens"), "p95")]
    return colored(lines("Tokens in a step", TOKENS, *queries), {"mean": NEUTRAL, "p95": WARNING}).description(
        about(
            "How many tokens each engine step computes: one for each stream, and a chunk of a prompt.",
            normal="Near the number of sequences, with peaks for prompts.",
            otherwise="Steps are slow and large: lower `step_tokens` or `target_itl`. Prompts are slow and steps small: raise them.",
        )
    )


def step_seconds() -> Panel:
    return percentiles("Time of a step", units.Seconds, "mlxd_step_seconds").description(
        about(
            "How long engine steps take.",
            normal="p95 below `batching.target_itl`.",
            otherwise="Slower with the same tokens in a step: memory is short, or something else uses the GPU.",
        )
    )


def step_seconds_heat() -> Heatmap:
    return heat("Time of a step, all of it", units.Seconds, "mlxd_step_seconds").description(
        about(
            "How many steps took how long.",
            normal="A band of steps with streams only, and above it one of steps with prompts.",
            otherwise="Single cells far above: the machine swaps, or a prompt chunk was too large.",
        )
    )


def batch_size_heat() -> Heatmap:
    return heat("Sequences in a step, all of it", units.Short, "mlxd_batch_size").description(
        about("How many steps had how many sequences.", normal="Follows the load.", otherwise="Stuck at the top: `max_sequences`.")
    )


def step_tokens_heat() -> Heatmap:
    return heat("Tokens in a step, all of it", TOKENS, "mlxd_step_tokens").description(
        about(
            "How many steps had how many tokens.",
            normal="Two bands: streams only, and streams with a chunk of a prompt.",
            otherwise="One low band and slow prompts: the budget of a step is too small.",
        )
    )
