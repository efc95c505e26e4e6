"""What is wrong with adapters beside the model they are to change."""

from collections.abc import Iterator

from mlxd.config.disk_checks import is_paged
from mlxd.config.document import Document
from mlxd.config.given_names import given_names, own_names
from mlxd.config.keys import Key, dotted
from mlxd.config.names import is_pattern
from mlxd.config.problems import Problem, shown
from mlxd.config.schema import Config, ModelTable

MOST_ADAPTERS = 256  # of a model: each has series of its own in the metrics


def check_adapters(config: Config, document: Document) -> Iterator[Problem]:
    """Reports adapters of a model that cannot have any, more than there may be, and patterns that nothing would reach because what they
    match is the name of an adapter, or of none.
    """
    for name, model in config.models.items():
        at: Key = ("models", name, "adapters")
        if not model.adapters or model.encodes:
            continue
        if not is_paged(model):
            rests_on = (at, document.origin(name, "batching", "mode"), document.origin(name, "cache", "kind"))
            text = 'set, which needs batching.mode = "continuous" and cache.kind = "paged"; elsewhere remove it'
            yield Problem(at, text, rests_on)
        if len(model.adapters) > MOST_ADAPTERS:
            yield Problem(at, f"found {len(model.adapters)} adapters; there may be {MOST_ADAPTERS} at most", (at,))
        yield from _patterns_are_reached(name, model, config)


def _patterns_are_reached(name: str, model: ModelTable, config: Config) -> Iterator[Problem]:
    reserved = tuple(f"{own}:" for own in own_names(name, model))
    for one in given_names(config.models):
        if is_pattern(one.text) and one.text.startswith(reserved):
            text = f"found {shown(one.text)}, which no name would reach: what begins so names an adapter of models.{dotted((name,))}"
            yield Problem(one.key, f"{text}, or nothing", (one.key, ("models", name, "adapters")))
